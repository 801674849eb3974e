//! The screen, and the plain text for where there is none.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style, Stylize};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Paragraph};

use super::state::{Row, State};
use crate::cli::top::Sort;
use crate::ss::{general, rate, state_name};

const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// Lines that are not of the list.
const FRAME_LINES: u16 = 5;
/// Least width for whole local addresses.
const WIDE: usize = 96;

/// Rows that fit on a screen so high.
pub fn room(height: u16) -> usize {
    usize::from(height.saturating_sub(FRAME_LINES))
}

/// Draws everything.
pub fn draw(frame: &mut Frame<'_>, state: &State) {
    let area = frame.area();
    let lines = [1, 1, 1, 1].map(Constraint::Length);
    let [title, sent, received, head, list, foot] =
        Layout::vertical(lines.into_iter().chain([Constraint::Min(0), Constraint::Length(1)]))
            .areas(area);
    frame.render_widget(title_line(state), title);
    let most = state.sent.iter().chain(&state.received).copied().fold(0.0, f64::max);
    frame.render_widget(total_line("out", &state.sent, most, sent.width), sent);
    frame.render_widget(total_line("in", &state.received, most, received.width), received);
    let width = usize::from(area.width);
    let header = header(width, state).style(Style::new().add_modifier(Modifier::REVERSED));
    frame.render_widget(header, head);
    let shown = state.rows.iter().skip(state.top).take(usize::from(list.height));
    let rows: Vec<Line<'_>> = shown.map(|row| styled(row, width)).collect();
    match rows.is_empty() {
        true => frame.render_widget(Paragraph::new(nothing(state)).dark_gray(), list),
        false => frame.render_widget(Paragraph::new(rows), list),
    }
    frame.render_widget(foot_line(state), foot);
    if state.help {
        draw_help(frame, area);
    }
}

fn title_line(state: &State) -> Line<'static> {
    let Some(about) = &state.about else { return Line::from("tapping top") };
    let mut text = format!(
        "tapping top: {} (process {})  {} of {} connections",
        about.name,
        about.pid,
        state.rows.len(),
        state.connections
    );
    if about.shards > 1 {
        text += &format!(" on {} stacks", about.shards);
    }
    let mut spans = vec![Span::from(text).bold()];
    if state.paused {
        spans.push(Span::from("  paused").yellow());
    }
    Line::from(spans)
}

fn total_line(
    name: &str,
    history: &std::collections::VecDeque<f64>,
    most: f64,
    width: u16,
) -> Line<'static> {
    let now = history.back().copied().unwrap_or(0.0);
    let text = format!("{name:>4} {:>8}bps ", bits(now));
    let history: Vec<f64> = history.iter().copied().collect();
    let bars = bars(&history, most, usize::from(width).saturating_sub(text.len()));
    Line::from(vec![Span::from(text), Span::from(bars).cyan()])
}

fn nothing(state: &State) -> &'static str {
    match (state.about.is_some(), state.connections) {
        (false, _) => "waiting for the stack",
        (true, 0) => "no connections",
        (true, _) => "no connection fits the filter",
    }
}

fn foot_line(state: &State) -> Line<'static> {
    if let Some(input) = &state.input {
        return Line::from(vec![Span::from("filter: ").bold(), format!("{input}_").into()]);
    }
    if let Some(problem) = &state.problem {
        return Line::from(problem.clone()).red();
    }
    let order = if state.reverse { ", reversed" } else { "" };
    let mut text = format!("q quit  p pause  s sort: {}{order}  / filter", sort_name(state.sort));
    if !state.filter_text.is_empty() {
        text += &format!(": {}", state.filter_text);
    }
    Line::from(text + "  h help").dark_gray()
}

fn sort_name(sort: Sort) -> &'static str {
    match sort {
        Sort::Rate => "rate",
        Sort::Out => "out",
        Sort::In => "in",
        Sort::Rtt => "rtt",
        Sort::Cwnd => "cwnd",
        Sort::Retrans => "retrans",
        Sort::Peer => "peer",
    }
}

/// Width of the local address: all of it, or its port.
fn local_width(width: usize) -> usize {
    if width >= WIDE { 21 } else { 6 }
}

/// The columns in front of the sparkline.
fn columns(width: usize, cells: [&str; 8]) -> String {
    let [local, peer, state, sent, received, rtt, cwnd, retrans] = cells;
    let local_width = local_width(width);
    format!(
        "{peer:<21} {local:<local_width$} {state:<6} {sent:>6} {received:>6} {rtt:>7} {cwnd:>5} \
         {retrans:>5} "
    )
}

fn header(width: usize, state: &State) -> Line<'static> {
    let marked = |sort: Sort, name: &str| match state.sort == sort {
        true => format!("{name}{}", if state.reverse { '^' } else { 'v' }),
        false => name.to_string(),
    };
    let titles = [
        "LOCAL".to_string(),
        marked(Sort::Peer, "PEER"),
        "STATE".to_string(),
        marked(Sort::Out, "OUT"),
        marked(Sort::In, "IN"),
        marked(Sort::Rtt, "RTT ms"),
        marked(Sort::Cwnd, "CWND"),
        marked(Sort::Retrans, "RETR"),
    ];
    let text = columns(width, titles.each_ref().map(String::as_str));
    let text = text + &marked(Sort::Rate, "RATE");
    Line::from(format!("{text:<width$}"))
}

fn cells(row: &Row, width: usize) -> String {
    let local = match width >= WIDE {
        true => row.local.to_string(),
        false => format!(":{}", row.local.port()),
    };
    let rtt = match row.rtt {
        0 => "-".to_string(),
        rtt => general(rtt as f64 / 1000.0, 4),
    };
    columns(
        width,
        [
            &local,
            &row.peer.to_string(),
            short_state(row.state),
            &bits(row.sent),
            &bits(row.received),
            &rtt,
            &row.cwnd.to_string(),
            &row.retrans.to_string(),
        ],
    )
}

/// States in six letters.
fn short_state(state: u8) -> &'static str {
    match state_name(state) {
        "SYN-SENT" => "SYN-S",
        "SYN-RECV" => "SYN-R",
        "FIN-WAIT-1" => "FIN-W1",
        "FIN-WAIT-2" => "FIN-W2",
        "TIME-WAIT" => "TIME-W",
        "CLOSE-WAIT" => "CLOS-W",
        "LAST-ACK" => "LASTAC",
        "CLOSING" => "CLOSIN",
        name => name,
    }
}

fn styled(row: &Row, width: usize) -> Line<'static> {
    let text = cells(row, width);
    let most = row.history.iter().copied().fold(0.0, f64::max);
    let bars = bars(&row.history, most, width.saturating_sub(text.chars().count()));
    let style = match (row.retrans, row.state) {
        (_, state) if state != 1 => Style::new().fg(Color::DarkGray),
        (1.., _) => Style::new().fg(Color::Yellow),
        _ => Style::new(),
    };
    Line::from(vec![Span::styled(text, style), Span::from(bars).green()])
}

/// Bytes a second as bits a second in few letters.
fn bits(bytes: f64) -> String {
    match bytes * 8.0 {
        none if none < 1.0 => "0".to_string(),
        // Without decimals, which say nothing about so few bits.
        few if few < 1000.0 => format!("{few:.0}"),
        bits => rate(bits, false),
    }
}

/// The last of the values as bars, the newest at the right.
fn bars(history: &[f64], most: f64, width: usize) -> String {
    let shown = &history[history.len().saturating_sub(width)..];
    let blank = " ".repeat(width.saturating_sub(shown.len()));
    let bar = |value: &f64| match *value {
        value if value <= 0.0 || most <= 0.0 => ' ',
        value => BARS[((value / most * 8.0).ceil() as usize).clamp(1, 8) - 1],
    };
    blank + &shown.iter().map(bar).collect::<String>()
}

fn draw_help(frame: &mut Frame<'_>, area: Rect) {
    let text = "\
q, Esc      quit
p, space    pause, go on
s, S        sort by the next column, the one before
r           reverse the order
/           filter, in the words of tapping ss; empty for all
up, down, page up, page down, home, end
h, ?        this help

OUT, IN and RATE are bits a second of data, acknowledged
and received; the bars are the last looks, the newest
at the right.";
    let width = area.width.min(60);
    let height = area.height.min(14);
    let at = Rect {
        x: area.x + (area.width - width) / 2,
        y: area.y + (area.height - height) / 2,
        width,
        height,
    };
    frame.render_widget(Clear, at);
    frame.render_widget(Paragraph::new(text).block(Block::bordered().title(" keys ")), at);
}

/// The list as text, for where there is no terminal.
pub fn plain(state: &State) -> String {
    let width = WIDE;
    let mut text = format!("{}\n", title_line(state));
    for (name, history) in [("out", &state.sent), ("in", &state.received)] {
        let now = history.back().copied().unwrap_or(0.0);
        text += &format!("{name:>4} {:>8}bps\n", bits(now));
    }
    text += &format!("{}\n", header(width, state).to_string().trim_end().trim_end_matches("RATEv"));
    for row in &state.rows {
        text += &format!("{}\n", cells(row, width).trim_end());
    }
    text
}
