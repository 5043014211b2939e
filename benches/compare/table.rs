//! Figures in columns, and what is said of many of them: median, percentiles, spread.

/// What so many per cent of the values do not exceed.
pub(crate) fn percentile(values: &mut [f64], percent: usize) -> f64 {
    values.sort_by(f64::total_cmp);
    values[((values.len() * percent).div_ceil(100)).clamp(1, values.len()) - 1]
}

pub(crate) fn median(values: &mut [f64]) -> f64 {
    percentile(values, 50)
}

/// How far apart the middle nine tenths of the values are.
pub(crate) fn spread(values: &mut [f64]) -> f64 {
    percentile(values, 95) - percentile(values, 5)
}

/// Begins a table.
pub(crate) fn heading(title: &str, columns: &[&str]) {
    let columns: String = columns.iter().map(|name| format!("{name:>12}")).collect();
    println!("\n{title}\n{:46}{columns}", "");
}

/// A line of it.
pub(crate) fn row(name: &str, values: &[f64]) {
    let values: String = values.iter().map(|value| format!("{value:12.2}")).collect();
    println!("{name:46}{values}");
}
