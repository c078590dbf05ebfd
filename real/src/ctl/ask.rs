//! Asks the person at the terminal, in patronictl's form. The end of the input ends the command.

use std::io::{self, BufRead, Write};

fn line() -> anyhow::Result<String> {
    io::stdout().flush()?;
    let mut line = String::new();
    if io::stdin().lock().read_line(&mut line)? == 0 {
        println!();
        anyhow::bail!("Aborted!");
    }
    Ok(line.trim_end_matches(['\n', '\r']).to_string())
}

/// An empty line means `default`.
pub fn prompt(question: &str, default: &str) -> anyhow::Result<String> {
    print!("{question} [{default}]: ");
    let given = line()?;
    Ok(if given.is_empty() {
        default.to_string()
    } else {
        given
    })
}

/// An empty line means no; anything but yes and no is asked again, a bounded number of times.
pub fn confirm(question: &str) -> anyhow::Result<bool> {
    for _ in 0..10 {
        print!("{question} [y/N]: ");
        match line()?.trim().to_lowercase().as_str() {
            "y" | "yes" => return Ok(true),
            "n" | "no" | "" => return Ok(false),
            _ => println!("Error: invalid input"),
        }
    }
    anyhow::bail!("Aborted!")
}
