//! What tests on real servers share.

pub mod etcd;
pub mod proxy;
