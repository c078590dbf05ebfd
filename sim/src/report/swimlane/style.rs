//! How the picture looks, in light and in dark, on a desk and on a phone, and how it zooms: along time only, so that
//! names, marks and words keep their size. Knows nothing of what is drawn.

pub const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#1b1f24;--paper:#fff;--grid:#d5dae0;--primary:#2f7d4f;--standby:#5b8fd0;\
--candidate:#b98510;--demoting:#d1602e;--starting:#9b7fc4;--down:#c3c8cf;--bad:#c01c28;--good:#2f7d4f;--mark:#fff3bf}\
@media(prefers-color-scheme:dark){:root{--ink:#e6e9ed;--paper:#15181c;--grid:#343a42;--primary:#378a58;\
--standby:#4a7ab8;--candidate:#a87d12;--demoting:#cf6a3c;--starting:#8468b0;--down:#454c55;--bad:#ff6b6b;--good:#6fce95;--mark:#4a4420}}\
body{font:15px/1.45 system-ui,sans-serif;color:var(--ink);background:var(--paper);margin:1.5rem auto;max-width:1440px;padding:0 1rem}\
h1{font-size:1.2rem}.good{color:var(--good)}.bad{color:var(--bad);font-weight:600}\
.film{display:flex}.names{flex:none}.scroll{overflow-x:auto;flex:1;min-width:0}.lanes{display:block}\
.zoom button{font:inherit;min-height:2.4em;padding:0 1em}\
text{fill:var(--ink);font:12px system-ui,sans-serif}.name{font-weight:600;font-size:14px}.grid{stroke:var(--grid)}\
.primary{fill:var(--primary);background:var(--primary)}.standby{fill:var(--standby);background:var(--standby)}\
.candidate{fill:var(--candidate);background:var(--candidate)}.demoting{fill:var(--demoting);background:var(--demoting)}\
.starting{fill:var(--starting);background:var(--starting)}.down,.off{fill:var(--down);background:var(--down)}\
.hatch{fill:var(--ink);opacity:.45}.ack{stroke:var(--good)}.lost{stroke:var(--bad)}.dot{fill:var(--ink)}\
.dot:hover,a:focus .dot{stroke:var(--candidate);stroke-width:4}\
.inside{fill:#fff;pointer-events:none}.legend b{color:#fff;padding:0 .5em;border-radius:3px}.legend b.down{color:var(--ink)}\
table{border-collapse:collapse}td{padding:.1em .8em .1em .2em;vertical-align:top;font-variant-numeric:tabular-nums;overflow-wrap:anywhere}\
td:first-child{overflow-wrap:normal;white-space:nowrap}\
tr{scroll-margin-top:3em}tr:target{background:var(--mark)}\
@media(max-width:600px){body{margin:.5rem auto;padding:0 .5rem}.names{width:74px}.name{font-size:12px}}";

/// Stretches every mark of the lanes along time, around the middle of what is seen.
pub const SCRIPT: &str = "\
(()=>{const lanes=document.querySelector('.lanes'),scroll=document.querySelector('.scroll'),bar=document.querySelector('.zoom');\
const whole=+lanes.getAttribute('width'),margin=6,words=new Set(['x','x1','x2','cx']);\
const marks=[...lanes.querySelectorAll('rect,line,text,circle')].filter(m=>!m.closest('defs')).map(m=>({m,\
at:[...m.attributes].filter(a=>words.has(a.name)).map(a=>[a.name,+a.value]),\
wide:m.tagName==='rect'?+m.getAttribute('width'):0}));let by=1;\
function zoom(to){const old=by,middle=scroll.scrollLeft+scroll.clientWidth/2;by=Math.min(256,Math.max(1,to));\
lanes.setAttribute('width',whole*by);for(const {m,at,wide} of marks){\
for(const [name,v] of at){m.setAttribute(name,margin+(v-margin)*by)}\
if(wide){m.setAttribute('width',wide*by)}}\
scroll.scrollLeft=middle*by/old-scroll.clientWidth/2}\
bar.hidden=false;bar.addEventListener('click',e=>{const f=+(e.target.dataset||{}).by;\
if(e.target.tagName==='BUTTON'){zoom(f?by*f:1)}});\
scroll.addEventListener('wheel',e=>{if(e.ctrlKey){e.preventDefault();zoom(by*(e.deltaY<0?1.25:0.8))}},{passive:false})})()";
