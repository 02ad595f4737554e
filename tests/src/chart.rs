//! A bar chart as SVG: groups of bars beside each other, one bar for each broker, each group to its own scale.

use std::fmt::Write as _;

const COLOURS: [&str; 4] = ["#2b6cb0", "#dd6b20", "#2f855a", "#6b46c1"];
const BAR: usize = 18;
const GAP: usize = 22;
const TEXT: usize = 330;
const LENGTH: f64 = 420.0;
const WIDTH: usize = 900;

/// Bars that are compared with each other.
#[derive(Clone, Debug)]
pub struct Group {
    /// What is compared, with its unit.
    pub title: String,
    /// A value of each broker; none where it could not be measured.
    pub values: Vec<Option<f64>>,
}

/// Draws the groups below each other. The longest bar of each is as wide as the chart.
pub fn draw(title: &str, brokers: &[String], groups: &[Group]) -> String {
    let height = 70 + groups.len() * (brokers.len() * BAR + GAP);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"10\" y=\"22\" font-size=\"15\">{}</text>\n",
        escaped(title)
    );
    for (number, broker) in brokers.iter().enumerate() {
        let (x, colour) = (10 + number * 220, colour(number));
        let _ = writeln!(
            svg,
            "<rect x=\"{x}\" y=\"34\" width=\"12\" height=\"12\" fill=\"{colour}\"/>\
             <text x=\"{}\" y=\"44\">{}</text>",
            x + 18,
            escaped(broker)
        );
    }
    let mut y = 64;
    for group in groups {
        draw_group(&mut svg, group, y);
        y += brokers.len() * BAR + GAP;
    }
    svg.push_str("</svg>\n");
    svg
}

fn draw_group(svg: &mut String, group: &Group, y: usize) {
    let longest = group
        .values
        .iter()
        .flatten()
        .fold(0.0, |a: f64, b| a.max(*b));
    let _ = writeln!(
        svg,
        "<text x=\"10\" y=\"{}\">{}</text>",
        y + 13,
        escaped(&group.title)
    );
    for (number, value) in group.values.iter().enumerate() {
        let y = y + number * BAR;
        let share = value.filter(|_| longest > 0.0).unwrap_or_default() / longest.max(1.0);
        let (length, colour) = ((share * LENGTH).max(1.0), colour(number));
        let words = value.map_or_else(|| "not measured".to_owned(), grouped);
        let _ = writeln!(
            svg,
            "<rect x=\"{TEXT}\" y=\"{y}\" width=\"{length:.1}\" height=\"{}\" fill=\"{colour}\"/>\
             <text x=\"{:.1}\" y=\"{}\">{words}</text>",
            BAR - 4,
            TEXT as f64 + length + 6.0,
            y + 12
        );
    }
}

fn colour(number: usize) -> &'static str {
    COLOURS[number % COLOURS.len()]
}

/// A whole number with commas between thousands.
pub fn grouped(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

#[cfg(test)]
mod tests;
