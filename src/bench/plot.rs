//! Draws a sweep: rate, CPU, files and latency of each setting, side by side.

use plotters::prelude::*;

use super::part::Part;
use super::report::{Report, Run};
use crate::error::{Error, Kind, Result};

const WIDTH: u32 = 960;
const HEIGHT: u32 = 320;

/// What is drawn of a run: its name, and its value where it was measured.
type Measure = (&'static str, fn(&Run) -> Option<f64>);

const MEASURES: [Measure; 5] = [
    ("records a second", |run| Some(run.records_a_second())),
    ("CPU seconds a million records", |run| Some(run.cpu_a_million())),
    ("peak memory, MiB", |run| Some(run.peak_bytes as f64 / f64::from(1 << 20))),
    ("files", |run| Some(run.done.files as f64)),
    ("p99 from produced to queryable, seconds", |run| run.latency.as_ref().map(|l| l.p99_seconds)),
];

/// The SVG of a report's jobs: a panel for each measure, in it a bar for each run.
pub fn plot(report: &Report) -> Result<String> {
    let runs: Vec<&Run> = report.runs.iter().filter(|run| run.part == Part::Job).collect();
    if runs.is_empty() {
        return Err(Error::usage("there is nothing to draw: no whole job was run"));
    }
    let panels: Vec<&Measure> =
        MEASURES.iter().filter(|(_, value)| runs.iter().any(|r| value(r).is_some())).collect();
    let mut svg = String::new();
    let drawn = draw(&mut svg, &panels, &runs);
    drawn.map_err(|e| Error::new(Kind::System, "cannot draw the sweep").because(e.to_string()))?;
    Ok(svg)
}

fn draw(
    svg: &mut String,
    panels: &[&Measure],
    runs: &[&Run],
) -> std::result::Result<(), Box<dyn std::error::Error>> {
    let root = SVGBackend::with_string(svg, (WIDTH, HEIGHT * panels.len() as u32)).into_drawing_area();
    root.fill(&WHITE)?;
    for (panel, (name, value)) in root.split_evenly((panels.len(), 1)).iter().zip(panels) {
        let values: Vec<f64> = runs.iter().map(|run| value(run).unwrap_or(0.0)).collect();
        let most = values.iter().copied().fold(0.0, f64::max).max(f64::MIN_POSITIVE);
        let mut chart = ChartBuilder::on(panel)
            .caption(name, ("sans-serif", 18))
            .margin(12)
            .x_label_area_size(36)
            .y_label_area_size(90)
            .build_cartesian_2d((0..runs.len() - 1).into_segmented(), 0.0..most * 1.1)?;
        let label = |at: &SegmentValue<usize>| match at {
            SegmentValue::CenterOf(at) => runs.get(*at).map_or(String::new(), |run| run.setting.clone()),
            _ => String::new(),
        };
        chart
            .configure_mesh()
            .disable_x_mesh()
            .x_labels(runs.len())
            .x_label_formatter(&label)
            .y_label_formatter(&|value| short(*value))
            .draw()?;
        chart.draw_series(values.iter().enumerate().map(|(at, value)| {
            let corners = [(SegmentValue::Exact(at), 0.0), (SegmentValue::Exact(at + 1), *value)];
            let mut bar = Rectangle::new(corners, BLUE.mix(0.6).filled());
            bar.set_margin(0, 0, 12, 12);
            bar
        }))?;
    }
    root.present()?;
    Ok(())
}

fn short(value: f64) -> String {
    match value {
        v if v >= 1e6 => format!("{:.2} M", v / 1e6),
        v if v >= 1e3 => format!("{:.1} k", v / 1e3),
        v if v >= 10.0 => format!("{v:.0}"),
        v => format!("{v:.2}"),
    }
}
