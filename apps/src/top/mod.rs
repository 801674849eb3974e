//! `tapping top`: the connections of a running stack, live.
//!
//! A thread looks at the stack, another draws and reads keys: a stack that is slow to answer makes
//! the numbers old, never the keys.

mod state;
#[cfg(test)]
mod tests;
mod view;

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use state::{Look, State};

use crate::cli::top::TopArgs;
use crate::control::model::Query;
use crate::control::{Client, client};
use crate::failure::{Failure, Stop};
use crate::ss::{ALL, Ports, parse_filter};

/// Shortest time between two looks.
const MIN_DELAY: Duration = Duration::from_millis(100);
/// How long keys may have to wait for a look to be drawn, and the other way round.
const TURN: Duration = Duration::from_millis(50);

/// Shows connections until told to stop.
pub fn run(args: &TopArgs) -> Result<u8, Stop> {
    let ports = Ports::of_system();
    let filter = parse_filter(&args.filter, &ports)?;
    let Some(mut client) = client::find(args.client.stack.as_deref())? else { return Ok(1) };
    let mut state = State::new(args.sort, filter, args.filter.join(" "), ports);
    let delay = args.delay.max(MIN_DELAY);
    if args.once || args.client.json || !io::stdout().is_terminal() {
        let answered = once(&mut state, &mut client, delay, args.client.json);
        return client::answered(answered);
    }
    // Seen before the screen is taken, so that a stack that does not answer is told in plain text.
    match look(&mut client) {
        Ok(first) => state.take(first),
        Err(failure) => return client::answered(Err(failure.into())),
    }
    let ended = Arc::new(AtomicBool::new(false));
    for signal in [SIGHUP, SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, ended.clone())?;
    }
    let (give, looks) = sync_channel(1);
    thread::Builder::new().name("look".into()).spawn(move || watch(client, delay, &give))?;
    let mut terminal = ratatui::try_init()?;
    let shown = show(&mut terminal, &mut state, &looks, &ended);
    let restored = ratatui::try_restore();
    shown?;
    restored?;
    Ok(0)
}

/// All connections at this moment.
fn look(client: &mut Client) -> Result<Look, Failure> {
    let about = client.about()?;
    let mut sockets = Vec::new();
    let query = Query { tcp: true, udp: false, raw: false, states: ALL, info: true };
    client.sockets(query, |socket| sockets.push(socket))?;
    Ok(Look { at: Instant::now(), about, sockets })
}

/// Two looks, so that there are rates, and what they tell.
fn once(state: &mut State, client: &mut Client, delay: Duration, json: bool) -> Result<(), Stop> {
    state.take(look(client)?);
    thread::sleep(delay);
    state.take(look(client)?);
    let mut out = io::stdout().lock();
    if json {
        writeln!(out, "{}", as_json(state))?;
    } else {
        out.write_all(view::plain(state).as_bytes())?;
    }
    Ok(())
}

fn as_json(state: &State) -> serde_json::Value {
    let row = |row: &state::Row| {
        serde_json::json!({
            "local": row.local,
            "peer": row.peer,
            "state": crate::ss::state_name(row.state),
            "out_bps": (row.sent * 8.0).round() as u64,
            "in_bps": (row.received * 8.0).round() as u64,
            "rtt_us": row.rtt,
            "cwnd": row.cwnd,
            "retrans": row.retrans,
        })
    };
    serde_json::Value::Array(state.rows.iter().map(row).collect())
}

/// Looks again and again, until nobody wants to know.
fn watch(mut client: Client, delay: Duration, give: &SyncSender<Result<Look, Failure>>) {
    let mut lost = false;
    loop {
        thread::sleep(delay);
        if lost && client.reconnect().is_ok() {
            lost = false;
        }
        let seen = look(&mut client);
        lost |= seen.is_err();
        match give.try_send(seen) {
            Ok(()) | Err(TrySendError::Full(_)) => {}
            Err(TrySendError::Disconnected(_)) => return,
        }
    }
}

fn show(
    terminal: &mut DefaultTerminal,
    state: &mut State,
    looks: &Receiver<Result<Look, Failure>>,
    ended: &AtomicBool,
) -> io::Result<()> {
    loop {
        terminal.draw(|frame| view::draw(frame, state))?;
        let room = view::room(terminal.size()?.height);
        let mut changed = false;
        while !changed {
            if ended.load(Ordering::Relaxed) {
                return Ok(());
            }
            if event::poll(TURN)? {
                match event::read()? {
                    Event::Key(key)
                        if key.kind != KeyEventKind::Release && !press(state, key, room) =>
                    {
                        return Ok(());
                    }
                    _ => {}
                }
                changed = true;
            }
            while let Ok(seen) = looks.try_recv() {
                match seen {
                    Ok(look) => state.take(look),
                    Err(failure) => state.problem = Some(failure.0),
                }
                changed = true;
            }
        }
    }
}

/// Does what a key asks for; `false` is the end.
fn press(state: &mut State, key: KeyEvent, room: usize) -> bool {
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        return !matches!(key.code, KeyCode::Char('c' | 'd'));
    }
    if state.input.is_some() {
        type_filter(state, key.code);
        return true;
    }
    if state.help {
        state.help = false;
        return key.code != KeyCode::Char('q');
    }
    state.mistake = None;
    let page = isize::try_from(room.max(1)).unwrap_or(isize::MAX);
    match key.code {
        KeyCode::Char('q') | KeyCode::Esc => return false,
        KeyCode::Char('p' | ' ') => state.paused = !state.paused,
        KeyCode::Char('s') => state.next_sort(false),
        KeyCode::Char('S') => state.next_sort(true),
        KeyCode::Char('r') => {
            state.reverse = !state.reverse;
            state.arrange();
        }
        KeyCode::Char('/') => state.input = Some(state.filter_text.clone()),
        KeyCode::Char('h' | '?') => state.help = true,
        KeyCode::Up => state.scroll(-1, room),
        KeyCode::Down => state.scroll(1, room),
        KeyCode::PageUp => state.scroll(-page, room),
        KeyCode::PageDown => state.scroll(page, room),
        KeyCode::Home => state.scroll(isize::MIN, room),
        KeyCode::End => state.scroll(isize::MAX, room),
        _ => {}
    }
    true
}

fn type_filter(state: &mut State, code: KeyCode) {
    match code {
        KeyCode::Esc => state.input = None,
        KeyCode::Enter => {
            let text = state.input.take().unwrap_or_default();
            state.set_filter(&text);
        }
        KeyCode::Backspace => {
            state.input.as_mut().map(String::pop);
        }
        KeyCode::Char(c) => state.type_char(c),
        _ => {}
    }
}
