//! What the screen shows, drawn where nobody sees it.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::state::{HISTORY, Look, State};
use super::*;
use crate::cli::top::Sort;
use crate::control::model::{About, Info, Socket};

fn state() -> State {
    let ports = Ports::parse("http 80/tcp\n");
    let filter = parse_filter(&[], &ports).expect("an empty one");
    State::new(Sort::Rate, filter, String::new(), ports)
}

fn connection(port: u16, peer: u16, bytes: (u64, u64)) -> Socket {
    let end = |n: u8, port: u16| SocketAddr::from(([10, 0, 0, n], port));
    Socket {
        netid: "tcp".into(),
        state: 1,
        local: end(2, port),
        peer: end(1, peer),
        dev: None,
        recv_q: 0,
        send_q: 0,
        timer: None,
        ino: u64::from(peer),
        rmem: (0, 0),
        wmem: (0, 0),
        shutdown: (false, false),
        mark: 0,
        tos: 0,
        congestion: Some("cubic".into()),
        info: Some(Box::new(Info {
            bytes_acked: bytes.0,
            bytes_received: bytes.1,
            rtt: u64::from(peer),
            snd_cwnd: 10 + u32::from(peer % 7),
            total_retrans: u32::from(peer % 3),
            ..Info::default()
        })),
    }
}

fn look(at: Instant, sockets: Vec<Socket>) -> Look {
    let about = About { name: "serve".into(), pid: 42, version: "1".into(), shards: 1 };
    Look { at, about, sockets }
}

/// Three connections after two looks, a second apart.
fn busy() -> State {
    let mut state = state();
    let start = Instant::now();
    let listener = Socket { state: 10, info: None, ..connection(80, 0, (0, 0)) };
    let at = |n: u64| {
        vec![
            listener.clone(),
            connection(80, 1000, (1_000 * n, 0)),
            connection(80, 2000, (125_000 * n, 125 * n)),
            connection(7, 3000, (0, 50_000 * n)),
        ]
    };
    state.take(look(start, at(1)));
    state.take(look(start + Duration::from_secs(1), at(2)));
    state
}

fn screen(state: &State, width: u16, height: u16) -> Vec<String> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("nothing can fail");
    terminal.draw(|frame| view::draw(frame, state)).expect("nothing can fail");
    let buffer = terminal.backend().buffer();
    let cells: Vec<&str> = buffer.content().iter().map(|cell| cell.symbol()).collect();
    cells.chunks(usize::from(width)).map(|line| line.concat().trim_end().to_string()).collect()
}

fn press(state: &mut State, code: KeyCode) -> bool {
    super::press(state, KeyEvent::new(code, KeyModifiers::NONE), 10)
}

fn keys(state: &mut State, text: &str) {
    text.chars().for_each(|c| assert!(press(state, KeyCode::Char(c)), "{c} ends it"));
}

fn peers(state: &State) -> Vec<u16> {
    state.rows.iter().map(|row| row.peer.port()).collect()
}

#[test]
fn a_small_terminal_shows_all_columns() {
    let lines = screen(&busy(), 80, 24);
    assert_eq!(lines.len(), 24);
    assert_eq!(lines[0], "tapping top: serve (process 42)  3 of 3 connections");
    assert!(lines[1].starts_with(" out    1.01Mbps") && lines[1].ends_with('█'), "{}", lines[1]);
    assert!(lines[2].starts_with("  in     401Kbps") && lines[2].ends_with('▄'), "{}", lines[2]);
    assert_eq!(
        lines[3..7],
        [
            "PEER                  LOCAL  STATE     OUT     IN  RTT ms  CWND  RETR RATE▼",
            "10.0.0.1:2000         :80    ESTAB      1M     1K       2    15     2          █",
            "10.0.0.1:3000         :7     ESTAB       0   400K       3    14     0          █",
            "10.0.0.1:1000         :80    ESTAB      8K      0       1    16     1          █",
        ]
    );
    assert_eq!(lines[7], "");
    assert_eq!(lines[23], "q quit  p pause  s sort: rate  / filter  h help");
    assert!(lines.iter().all(|line| line.chars().count() <= 80));
}

#[test]
fn a_wide_terminal_shows_whole_addresses() {
    let lines = screen(&busy(), 120, 24);
    assert!(
        lines[4].starts_with("10.0.0.1:2000         10.0.0.2:80           ESTAB "),
        "{}",
        lines[4]
    );
}

#[test]
fn no_terminal_is_too_small() {
    let mut state = busy();
    for help in [false, true] {
        state.help = help;
        for (width, height) in [(1, 1), (5, 2), (20, 3), (79, 5), (200, 1), (1, 50)] {
            let lines = screen(&state, width, height);
            assert_eq!(lines.len(), usize::from(height));
        }
    }
}

#[test]
fn keys_sort() {
    let mut state = busy();
    assert_eq!(peers(&state), [2000, 3000, 1000]);
    let orders = [
        (Sort::Out, [2000, 1000, 3000]),
        (Sort::In, [3000, 2000, 1000]),
        (Sort::Rtt, [3000, 2000, 1000]),
        (Sort::Cwnd, [1000, 2000, 3000]),
        (Sort::Retrans, [2000, 1000, 3000]),
        (Sort::Peer, [1000, 2000, 3000]),
        (Sort::Rate, [2000, 3000, 1000]),
    ];
    for (sort, order) in orders {
        keys(&mut state, "s");
        assert_eq!((state.sort, peers(&state)), (sort, order.to_vec()));
    }
    keys(&mut state, "S");
    assert_eq!(state.sort, Sort::Peer);
    keys(&mut state, "r");
    assert_eq!(peers(&state), [3000, 2000, 1000]);
    assert!(screen(&state, 80, 24)[3].starts_with("PEER▲ "));
}

#[test]
fn pausing_keeps_what_is_seen() {
    let mut state = busy();
    keys(&mut state, "p");
    state.take(look(Instant::now(), vec![]));
    assert_eq!(state.rows.len(), 3);
    assert!(screen(&state, 80, 24)[0].ends_with("paused"));
    keys(&mut state, " ");
    state.take(look(Instant::now(), vec![]));
    assert_eq!(state.rows.len(), 0);
    assert_eq!(screen(&state, 80, 24)[4], "no connections");
}

#[test]
fn filters_are_typed() {
    let mut state = busy();
    keys(&mut state, "/sport = httpx");
    assert_eq!(screen(&state, 80, 24)[23], "filter: sport = httpx_");
    press(&mut state, KeyCode::Backspace);
    press(&mut state, KeyCode::Enter);
    assert_eq!(peers(&state), [2000, 1000]);
    let lines = screen(&state, 80, 24);
    assert_eq!(lines[0], "tapping top: serve (process 42)  2 of 3 connections");
    assert!(lines[23].contains("/ filter: sport = http"), "{}", lines[23]);
    // What makes no sense changes nothing, and is told until the next key.
    keys(&mut state, "/ or");
    press(&mut state, KeyCode::Enter);
    assert_eq!(state.filter_text, "sport = http");
    assert!(screen(&state, 80, 24)[23].starts_with("ss: "));
    state.take(look(Instant::now(), vec![connection(80, 9, (0, 0))]));
    assert!(screen(&state, 80, 24)[23].starts_with("ss: "));
    keys(&mut state, "p");
    assert!(screen(&state, 80, 24)[23].starts_with("q quit"));
    // One that is given up changes nothing either.
    keys(&mut state, "/q");
    press(&mut state, KeyCode::Esc);
    assert_eq!(state.filter_text, "sport = http");
    keys(&mut state, "/");
    (0..300).for_each(|_| {
        press(&mut state, KeyCode::Backspace);
    });
    keys(&mut state, "state listening");
    press(&mut state, KeyCode::Enter);
    assert_eq!(screen(&state, 80, 24)[4], "no connection fits the filter");
    keys(&mut state, "/");
    keys(&mut state, &"x".repeat(1000));
    assert!(state.input.as_ref().is_some_and(|input| input.len() <= 200));
}

#[test]
fn the_list_scrolls_as_far_as_it_goes() {
    let mut state = state();
    let many = (1..=100).map(|peer| connection(80, peer, (0, 0))).collect();
    state.take(look(Instant::now(), many));
    for (code, top) in [
        (KeyCode::Up, 0),
        (KeyCode::Down, 1),
        (KeyCode::PageDown, 11),
        (KeyCode::End, 90),
        (KeyCode::Down, 90),
        (KeyCode::PageUp, 80),
        (KeyCode::Home, 0),
        (KeyCode::PageUp, 0),
    ] {
        press(&mut state, code);
        assert_eq!(state.top, top, "{code:?}");
    }
    press(&mut state, KeyCode::End);
    // Fewer than before: the list does not end above the screen.
    state.take(look(Instant::now(), vec![connection(80, 1, (0, 0))]));
    assert_eq!(state.top, 0);
}

#[test]
fn keys_end_it() {
    for code in [KeyCode::Char('q'), KeyCode::Esc] {
        assert!(!press(&mut busy(), code));
    }
    let control_c = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    assert!(!super::press(&mut busy(), control_c, 10));
    let mut state = busy();
    keys(&mut state, "h");
    assert!(screen(&state, 80, 24).iter().any(|line| line.contains("quit")));
    assert!(press(&mut state, KeyCode::Esc), "it closes the help first");
    assert!(!state.help);
}

#[test]
fn rates_are_those_since_the_last_look() {
    let mut state = state();
    let start = Instant::now();
    let at = |seconds: u64, bytes: u64| {
        let at = start + Duration::from_secs(seconds);
        look(at, vec![connection(80, 1, (bytes, 0))])
    };
    state.take(at(0, 1_000_000));
    assert_eq!(state.rows[0].sent, 0.0);
    state.take(at(2, 1_500_000));
    assert_eq!(state.rows[0].sent, 250_000.0);
    // Two looks in no time, and a counter that goes back, tell nothing.
    state.take(at(2, 1_600_000));
    assert_eq!(state.rows[0].sent, 0.0);
    state.take(at(3, 5));
    assert_eq!(state.rows[0].sent, 0.0);
    for n in 0..500 {
        state.take(at(4 + n, 5));
    }
    assert_eq!((state.rows[0].history.len(), state.sent.len()), (HISTORY, HISTORY));
}

#[test]
fn plain_text_has_no_bars() {
    assert_eq!(
        view::plain(&busy()),
        "\
tapping top: serve (process 42)  3 of 3 connections
 out    1.01Mbps
  in     401Kbps
PEER                  LOCAL                 STATE     OUT     IN  RTT ms  CWND  RETR
10.0.0.1:2000         10.0.0.2:80           ESTAB      1M     1K       2    15     2
10.0.0.1:3000         10.0.0.2:7            ESTAB       0   400K       3    14     0
10.0.0.1:1000         10.0.0.2:80           ESTAB      8K      0       1    16     1
"
    );
}

#[test]
fn a_stack_that_ends_is_told() {
    let mut state = busy();
    state.problem = Some("cannot ask the stack".into());
    assert_eq!(screen(&state, 80, 24)[23], "cannot ask the stack");
    assert_eq!(state.rows.len(), 3);
}
