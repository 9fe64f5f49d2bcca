//! Plots over time as SVG, to stand in an HTML page.

use plotters::prelude::*;

const SIZE: (u32, u32) = (720, 240);
/// Okabe and Ito's colours, which people who do not see all colours can tell apart.
const COLOURS: [RGBColor; 6] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
];

pub struct Line<'a> {
    pub name: &'a str,
    /// (seconds, value)
    pub points: Vec<(f64, f64)>,
}

/// None when there is nothing to draw. `label` is what is read out where pictures are not seen.
pub fn svg(label: &str, unit: &str, lines: &[Line<'_>]) -> Option<String> {
    let points = || lines.iter().flat_map(|line| line.points.iter().copied());
    let end = points().map(|(at, _)| at).fold(f64::NAN, f64::max);
    let top = points().map(|(_, value)| value).fold(f64::NAN, f64::max);
    if end.is_nan() || top.is_nan() {
        return None;
    }
    // From 0 on, always: a plot that begins elsewhere makes much of little.
    // Room for the names of several lines.
    let names = if lines.len() > 1 { lines.len() } else { 0 };
    let room = 1.08 + 0.15 * names as f64;
    let top = if top > 0.0 { top * room } else { 1.0 };
    let mut text = String::new();
    // Writing to a String cannot fail, and an area of constant size can be divided.
    draw(&mut text, unit, lines, end.max(1.0), top).ok()?;
    let attributes = format!("<svg role=\"img\" aria-label=\"{}\" ", super::html::escape(label));
    Some(text.replacen("<svg ", &attributes, 1))
}

fn draw(
    text: &mut String,
    unit: &str,
    lines: &[Line<'_>],
    end: f64,
    top: f64,
) -> Result<(), Box<dyn std::error::Error>> {
    let area = SVGBackend::with_string(text, SIZE).into_drawing_area();
    let mut chart = ChartBuilder::on(&area)
        .margin(8)
        .x_label_area_size(34)
        .y_label_area_size(62)
        .build_cartesian_2d(0.0..end, 0.0..top)?;
    let digits = match top {
        top if top < 0.1 => 3,
        top if top < 1.0 => 2,
        top if top < 10.0 => 1,
        _ => 0,
    };
    chart
        .configure_mesh()
        .x_desc("seconds")
        .y_desc(unit)
        .x_labels(10)
        .y_labels(5)
        .light_line_style(TRANSPARENT)
        .bold_line_style(RGBColor(225, 225, 225))
        .axis_style(RGBColor(120, 120, 120))
        .label_style(("sans-serif", 12))
        .x_label_formatter(&|at| format!("{at:.0}"))
        .y_label_formatter(&|value| format!("{value:.digits$}"))
        .draw()?;
    for (line, colour) in lines.iter().zip(COLOURS.iter().cycle()) {
        let colour = *colour;
        chart
            .draw_series(LineSeries::new(
                line.points.iter().copied(),
                colour.stroke_width(2),
            ))?
            .label(line.name)
            .legend(move |(x, y)| PathElement::new(vec![(x, y), (x + 16, y)], colour.stroke_width(2)));
    }
    if lines.len() > 1 {
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperRight)
            .background_style(WHITE.mix(0.85))
            .label_font(("sans-serif", 12))
            .draw()?;
    }
    area.present()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_drawn_and_named() {
        let line = |name| Line {
            name,
            points: vec![(1.0, 2.0), (2.0, 3.0)],
        };
        let text = svg("A & B", "ms", &[line("p50"), line("p99")]).expect("a picture");
        assert!(
            text.starts_with("<svg role=\"img\" aria-label=\"A &amp; B\""),
            "{text}"
        );
        assert!(text.contains("p50") && text.contains("p99") && text.trim_end().ends_with("</svg>"));
        assert_eq!(
            text.matches("stroke-width=\"2\"").count(),
            4,
            "two lines and two legends"
        );
    }

    #[test]
    fn nothing_gives_no_picture() {
        assert_eq!(svg("a", "ms", &[]), None);
        let empty = Line {
            name: "a",
            points: Vec::new(),
        };
        assert_eq!(svg("a", "ms", &[empty]), None);
    }
}
