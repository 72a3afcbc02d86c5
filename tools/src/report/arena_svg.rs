//! The arena over time as a drawing: steps to the right, byte offsets upwards, one rectangle a
//! tensor. A self-contained SVG.

use std::fmt::Write;

use fixnet::{KernelFamily, Model};

use super::arena_map::{ArenaMap, Occupant};
use super::table::bytes;

const PLOT_HEIGHT: f64 = 440.0;
const PLOT_LEFT: f64 = 84.0;
const PLOT_TOP: f64 = 96.0;
/// Room to the right for the labels of the lines.
const RIGHT: f64 = 190.0;
/// Width of a step, between these, so that a plan of a few steps is no wall and one of many no line.
const STEP_WIDTH: (f64, f64) = (22.0, 58.0);
const PREFERRED_WIDTH: f64 = 1240.0;
/// Mean advance of a character, as a share of the font size.
const ADVANCE: f64 = 0.59;
/// Slant of the step names.
const SLANT_DEGREES: f64 = 50.0;
const STEP_FONT: f64 = 11.0;
/// Most characters of a step's name.
const STEP_NAME: usize = 30;
/// Fewer characters of a name say nothing.
const SHORTEST_TAIL: usize = 8;

const STYLE: &str = "\
text{font-family:Helvetica,Arial,'DejaVu Sans',sans-serif;fill:#1f2933}\
.small{font-size:11px}.title{font-size:17px;font-weight:bold}.axis{font-size:11px;fill:#52606d}\
.grid{stroke:#e4e7eb;stroke-width:1}.limit{stroke-width:1.5;stroke-dasharray:6 4}\
.input{fill:#9aa5b1}.written{fill:#7cb5ec}.rewritten{fill:#f7b267}.scratch{fill:url(#hatch)}\
.tensor{stroke:#ffffff;stroke-width:1.2}";

/// Draws the plan of `model` with the scratch of `kernels`.
#[must_use]
pub fn arena_svg(model: &Model<'_>, kernels: KernelFamily) -> String {
    let required = model.required_by_family(kernels, 1);
    let drawing = Drawing {
        map: ArenaMap::new(model),
        scratch: model.steps().map(|s| kernels.scratch_bytes(&s.operator)).collect(),
        activations: required.activations,
        arena: required.arena(),
        scratch_offset: required.arena() - required.scratch,
        title: model.name().to_string(),
        kernels: kernels.name(),
    };
    drawing.svg()
}

struct Drawing<'m> {
    map: ArenaMap<'m>,
    /// Bytes of scratch of every step.
    scratch: Vec<usize>,
    activations: usize,
    arena: usize,
    scratch_offset: usize,
    title: String,
    kernels: &'static str,
}

/// A rectangle in the drawing's units.
#[derive(Debug, Clone, Copy)]
struct Rect {
    x: f64,
    y: f64,
    width: f64,
    height: f64,
}

impl Drawing<'_> {
    fn svg(&self) -> String {
        let names_height = self.names_height();
        let width = PLOT_LEFT + self.plot_width() + RIGHT;
        let height = PLOT_TOP + PLOT_HEIGHT + names_height + 20.0;
        let mut out = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" \
             width=\"{width:.0}\" height=\"{height:.0}\">\n<style>{STYLE}</style>\n\
             <defs><pattern id=\"hatch\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\" \
             patternTransform=\"rotate(45)\"><rect width=\"6\" height=\"6\" fill=\"#eef1f4\"/>\
             <line x1=\"0\" y1=\"0\" x2=\"0\" y2=\"6\" stroke=\"#9fb3c8\" stroke-width=\"2\"/>\
             </pattern></defs>\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n"
        );
        self.heading(&mut out);
        self.axes(&mut out);
        for (step, &scratch) in self.scratch.iter().enumerate() {
            self.scratch(&mut out, step, scratch);
        }
        for occupant in &self.map.occupants {
            self.tensor(&mut out, occupant);
        }
        self.limits(&mut out);
        out.push_str("</svg>\n");
        out
    }

    fn heading(&self, out: &mut String) {
        text(out, (PLOT_LEFT, 30.0), "title", "", &format!("{}: the arena over time", self.title));
        let entries = [
            ("input", "input"),
            ("written", "written by a step"),
            ("rewritten", "rewritten in place: residual sum over its shortcut"),
            ("scratch", "scratch"),
        ];
        let mut x = PLOT_LEFT;
        for (class, label) in entries {
            let label = match class {
                "scratch" => format!("{label} of the {} kernels", self.kernels),
                _ => label.to_string(),
            };
            let _ = writeln!(
                out,
                "<rect x=\"{x:.1}\" y=\"48\" width=\"14\" height=\"14\" class=\"{class}\"/>"
            );
            text(out, (x + 20.0, 59.0), "small", "", &label);
            x += 44.0 + label.chars().count() as f64 * 11.0 * ADVANCE;
        }
    }

    /// Byte offsets on the left, layer names below.
    fn axes(&self, out: &mut String) {
        let right = PLOT_LEFT + self.plot_width();
        for tick in ticks(self.arena) {
            let y = self.y(tick);
            let _ = writeln!(
                out,
                "<line x1=\"{PLOT_LEFT}\" y1=\"{y:.1}\" x2=\"{right:.1}\" y2=\"{y:.1}\" class=\"grid\"/>"
            );
            let anchor = "text-anchor=\"end\"";
            text(out, (PLOT_LEFT - 8.0, y + 4.0), "axis", anchor, &kibibytes(tick));
        }
        let baseline = PLOT_TOP + PLOT_HEIGHT + 14.0;
        for (step, name) in self.map.layers.iter().enumerate() {
            let x = self.x(step as f64 + 0.5) + 4.0;
            let turn = format!(
                "text-anchor=\"end\" transform=\"rotate(-{SLANT_DEGREES} {x:.1} {baseline:.1})\""
            );
            let name = elide(name, STEP_NAME);
            text(out, (x, baseline), "axis", &turn, &format!("{name} · {step}"));
        }
    }

    fn tensor(&self, out: &mut String, occupant: &Occupant<'_>) {
        let rect = self.place(occupant);
        let class = match occupant {
            Occupant { written_by: None, .. } => "input",
            Occupant { in_place: true, .. } => "rewritten",
            _ => "written",
        };
        let size = occupant.tensor.bytes();
        let range = occupant.tensor.range();
        let (first, last) = (occupant.first(), occupant.last());
        let tip = format!(
            "{}: {size} B at {}..{}, steps {first} to {last}",
            occupant.name, range.start, range.end,
        );
        let Rect { x, y, width, height } = rect;
        let _ = writeln!(
            out,
            "<g><title>{}</title><rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" \
             height=\"{height:.1}\" class=\"tensor {class}\" rx=\"2\"/>",
            escape(&tip),
        );
        label(out, rect, occupant.name, &format!("{} B", bytes(size)));
        out.push_str("</g>\n");
    }

    /// In the step that replaces a tensor in place, the first half is its own and the second its
    /// successor's.
    fn place(&self, occupant: &Occupant<'_>) -> Rect {
        let start = occupant.first() as f64 + if occupant.in_place { 0.5 } else { 0.0 };
        let end = occupant.last() as f64 + if occupant.replaced { 0.5 } else { 1.0 };
        let range = occupant.tensor.range();
        self.rect((start, end), (range.start, range.end))
    }

    fn scratch(&self, out: &mut String, step: usize, size: usize) {
        if size == 0 {
            return;
        }
        let steps = (step as f64, step as f64 + 1.0);
        let Rect { x, y, width, height } =
            self.rect(steps, (self.scratch_offset, self.scratch_offset + size));
        let name = self.map.layers.get(step).unwrap_or(&"");
        let tip = escape(&format!("{name}: {size} B of scratch"));
        let _ = writeln!(
            out,
            "<g><title>{tip}</title><rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" \
             height=\"{height:.1}\" class=\"tensor scratch\"/></g>"
        );
    }

    /// The peaks: of the activations, and of the arena with scratch.
    fn limits(&self, out: &mut String) {
        let peak = self.map.peak_step();
        let busiest = format!("most live: {} B, step {peak}", bytes(self.map.live_bytes(peak)));
        let activations = format!("activations {} B", bytes(self.activations));
        self.limit(out, self.activations, "#c0392b", &[&activations, &busiest], 14.0);
        if self.arena > self.activations {
            let arena = format!("arena {} B", bytes(self.arena));
            self.limit(out, self.arena, "#6c3483", &[&arena], -4.0);
        }
    }

    fn limit(&self, out: &mut String, offset: usize, colour: &str, lines: &[&str], drop: f64) {
        let (y, right) = (self.y(offset), PLOT_LEFT + self.plot_width());
        let _ = writeln!(
            out,
            "<line x1=\"{PLOT_LEFT}\" y1=\"{y:.1}\" x2=\"{:.1}\" y2=\"{y:.1}\" class=\"limit\" \
             stroke=\"{colour}\"/>",
            right + RIGHT - 12.0,
        );
        for (row, line) in lines.iter().enumerate() {
            let at = (right + 10.0, y + drop + 14.0 * row as f64);
            text(out, at, "small", &format!("style=\"fill:{colour}\""), line);
        }
    }

    fn step_width(&self) -> f64 {
        let (low, high) = STEP_WIDTH;
        (PREFERRED_WIDTH / self.map.layers.len().max(1) as f64).clamp(low, high)
    }

    fn plot_width(&self) -> f64 {
        self.step_width() * self.map.layers.len() as f64
    }

    fn x(&self, step: f64) -> f64 {
        PLOT_LEFT + step * self.step_width()
    }

    fn y(&self, offset: usize) -> f64 {
        PLOT_TOP + PLOT_HEIGHT * (1.0 - offset as f64 / self.arena.max(1) as f64)
    }

    fn rect(&self, steps: (f64, f64), bytes: (usize, usize)) -> Rect {
        let (x, y) = (self.x(steps.0), self.y(bytes.1));
        Rect { x, y, width: self.x(steps.1) - x, height: self.y(bytes.0) - y }
    }

    /// Height of the longest slanted layer name.
    fn names_height(&self) -> f64 {
        let lengths = self.map.layers.iter().map(|n| n.chars().count().min(STEP_NAME) + 5);
        let longest = lengths.max().unwrap_or(0);
        20.0 + longest as f64 * STEP_FONT * ADVANCE * SLANT_DEGREES.to_radians().sin()
    }
}

/// Writes name and size where they fit: in one line, in two, upright, with the end of the name, or
/// the size alone; or not at all (the tooltip has them).
fn label(out: &mut String, rect: Rect, name: &str, size: &str) {
    for font in [11.0, 9.0] {
        let wide = Lines { font, along: rect.width, across: rect.height, upright: false };
        let tall = Lines { font, along: rect.height, across: rect.width, upright: true };
        let one = format!("{name}, {size}");
        let layouts: [(Lines, &[&str]); 4] =
            [(wide, &[&one]), (wide, &[name, size]), (tall, &[name, size]), (tall, &[&one])];
        if let Some((lines, texts)) = layouts.into_iter().find(|(lines, texts)| lines.fit(texts)) {
            return lines.write(out, rect, texts);
        }
    }
    let lines = Lines { font: 9.0, along: rect.width, across: rect.height, upright: false };
    let tail = elide(name, lines.capacity().max(SHORTEST_TAIL));
    for texts in [&[tail.as_str(), size] as &[&str], &[size]] {
        if lines.fit(texts) {
            return lines.write(out, rect, texts);
        }
    }
}

/// Lines of text in a rectangle.
#[derive(Debug, Clone, Copy)]
struct Lines {
    font: f64,
    /// Room in the direction of reading, and across it.
    along: f64,
    across: f64,
    upright: bool,
}

impl Lines {
    /// Characters of one line.
    fn capacity(&self) -> usize {
        ((self.along - 6.0) / (self.font * ADVANCE)).max(0.0) as usize
    }

    fn fit(&self, texts: &[&str]) -> bool {
        let longest = texts.iter().map(|t| t.chars().count()).max().unwrap_or(0);
        let height = texts.len() as f64 * (self.font + 2.0) + 1.0;
        longest <= self.capacity() && height <= self.across
    }

    fn write(&self, out: &mut String, rect: Rect, texts: &[&str]) {
        for (row, line) in texts.iter().enumerate() {
            let shift = (row as f64 - (texts.len() - 1) as f64 / 2.0) * self.font * 1.3;
            let (dx, dy) = if self.upright { (shift, 0.0) } else { (0.0, shift) };
            let (x, y) = (rect.x + rect.width / 2.0 + dx, rect.y + rect.height / 2.0 + dy);
            let turn = match self.upright {
                true => format!(" transform=\"rotate(-90 {x:.1} {y:.1})\""),
                false => String::new(),
            };
            let attributes =
                format!("text-anchor=\"middle\" dy=\"0.35em\" font-size=\"{}\"{turn}", self.font);
            text(out, (x, y), "", &attributes, line);
        }
    }
}

/// The end of a name that is too long, which is what tells layers apart.
fn elide(name: &str, most: usize) -> String {
    let length = name.chars().count();
    if length <= most {
        return name.to_string();
    }
    let tail: String = name.chars().skip(length + 1 - most).collect();
    format!("…{tail}")
}

fn text(out: &mut String, (x, y): (f64, f64), class: &str, attributes: &str, content: &str) {
    let content = escape(content);
    let _ = writeln!(
        out,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" class=\"{class}\" {attributes}>{content}</text>"
    );
}

/// Text as XML content; names come from files that others wrote.
fn escape(content: &str) -> String {
    let mut escaped = String::with_capacity(content.len());
    for character in content.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            // XML has no such characters, not even escaped.
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

/// Four to nine round offsets from 0 to `bytes`.
fn ticks(bytes: usize) -> impl Iterator<Item = usize> {
    let mut step = 16;
    while bytes / step > 8 {
        step *= 2;
    }
    (0..=bytes / step).map(move |n| n * step)
}

fn kibibytes(offset: usize) -> String {
    match offset {
        0 => "0".to_string(),
        n if n % 1024 == 0 => format!("{} KiB", n / 1024),
        n => format!("{n} B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_few() {
        assert_eq!(
            ticks(35_584).collect::<Vec<_>>(),
            (0..=8).map(|n| n * 4096).collect::<Vec<_>>()
        );
        assert!((4..=9).contains(&ticks(1_003_520).count()));
        assert_eq!(ticks(0).collect::<Vec<_>>(), [0]);
    }

    #[test]
    fn names_cannot_break_out_of_the_text() {
        assert_eq!(escape("<a b=\"&\">\u{1}"), "&lt;a b=&quot;&amp;&quot;&gt;\u{fffd}");
    }
}
