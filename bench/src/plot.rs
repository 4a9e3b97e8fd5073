//! Draws the records of a family as SVG: for each case a group of horizontal bars, as long as the medians.

use std::fmt::Write;
use std::fs;

use crate::harness::{Record, Role};

const WIDTH: usize = 900;
/// Where the bars begin, and how long the longest is.
const LEFT: usize = 330;
const LONGEST: f64 = 440.0;
const ROW: usize = 18;

/// The picture, with its own white ground: pages may be dark. `command` is what makes these records again.
pub fn svg(family: &str, records: &[Record], command: &str) -> String {
    let (mut body, mut y) = (String::new(), 78);
    for case in records.chunk_by(|one, next| one.case == next.case) {
        y += ROW;
        text(&mut body, (16, y), "start", "font-weight=\"bold\"", &case[0].case);
        let most = case.iter().map(|record| record.median.abs()).fold(f64::MIN_POSITIVE, f64::max);
        for record in case {
            y += ROW;
            bar(&mut body, y, record, most);
        }
        y += ROW / 2;
    }
    y += 2 * ROW;
    for line in [machine(), command.to_owned()] {
        text(&mut body, (16, y), "start", "fill=\"#57606a\"", &line);
        y += ROW;
    }
    let height = y;
    let mut head = String::new();
    text(&mut head, (16, 30), "start", "font-size=\"17\" font-weight=\"bold\"", family);
    legend(&mut head);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
         viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" font-size=\"12\" fill=\"#1f2328\">\n\
         <defs><pattern id=\"hatch\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\" \
         patternTransform=\"rotate(45)\"><rect width=\"6\" height=\"6\" fill=\"#eef1f4\"/>\
         <rect width=\"2\" height=\"6\" fill=\"#8c959f\"/></pattern></defs>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n{head}{body}</svg>\n"
    )
}

fn bar(out: &mut String, y: usize, record: &Record, most: f64) {
    let style = if record.role == Role::Ours { "font-weight=\"bold\"" } else { "" };
    text(out, (LEFT - 8, y), "end", style, &record.subject);
    let width = LONGEST * record.median.abs() / most;
    rectangle(out, (LEFT, y - 10), width.max(1.0), record.role);
    let figure = format!("{} {}", figure(record.median), record.unit);
    text(out, (LEFT + width as usize + 6, y), "start", style, &figure);
}

fn legend(out: &mut String) {
    let roles = [(Role::Ours, "ours"), (Role::Peer, "peer"), (Role::Limit, "limit"), (Role::Beside, "beside")];
    for ((role, name), x) in roles.into_iter().zip((16..).step_by(100)) {
        rectangle(out, (x, 46), 24.0, role);
        text(out, (x + 30, 56), "start", "", name);
    }
    text(out, (WIDTH - 16, 56), "end", "fill=\"#57606a\"", "medians; the bars of one case have one scale");
}

fn rectangle(out: &mut String, (x, y): (usize, usize), width: f64, role: Role) {
    let fill = match role {
        Role::Ours => "#0969da",
        Role::Peer => "#8c959f",
        Role::Limit => "url(#hatch)",
        Role::Beside => "#d8dee4",
    };
    write_line(out, format_args!("<rect x=\"{x}\" y=\"{y}\" width=\"{width:.1}\" height=\"12\" fill=\"{fill}\"/>"));
}

fn text(out: &mut String, (x, y): (usize, usize), anchor: &str, style: &str, text: &str) {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    write_line(out, format_args!("<text x=\"{x}\" y=\"{y}\" text-anchor=\"{anchor}\" {style}>{text}</text>"));
}

fn write_line(out: &mut String, line: std::fmt::Arguments<'_>) {
    writeln!(out, "{line}").expect("text can be written");
}

/// About three digits of it.
fn figure(value: f64) -> String {
    let digits = match value.abs() {
        large if large >= 100.0 => 0,
        middle if middle >= 10.0 => 1,
        _ => 2,
    };
    format!("{value:.digits$}")
}

fn machine() -> String {
    let told = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = told.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    // Of the machine: this thread may be pinned to one of them.
    let cpus = told.lines().filter(|line| line.starts_with("processor")).count().max(1);
    let model = model.map_or("a CPU that is not told", |(_, model)| model);
    format!("{model}, {cpus} CPU{}", if cpus > 1 { "s" } else { "" })
}
