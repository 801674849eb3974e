use super::*;

fn parsed(line: &str) -> Parsed {
    let words = std::iter::once("tapping").chain(line.split_whitespace());
    parse(words.map(Into::into))
}

fn command(line: &str) -> Command {
    match parsed(line) {
        Parsed::Run(command) => *command,
        Parsed::Wrong(why) => panic!("{line}: {why}"),
        Parsed::Print(text) => panic!("{line} printed {text}"),
    }
}

fn ping(line: &str) -> PingArgs {
    match command(line) {
        Command::Ping(args) => args,
        other => panic!("{line} is not a ping but {other:?}"),
    }
}

fn wrong(line: &str) -> String {
    match parsed(line) {
        Parsed::Wrong(why) => why,
        _ => panic!("{line} was taken"),
    }
}

#[test]
fn definitions_hold_together() {
    Cli::command().debug_assert();
}

#[test]
fn ping_is_the_default() {
    for line in ["-c 3 10.0.0.1", "ping -c 3 10.0.0.1", "10.0.0.1 -c3"] {
        let args = ping(line);
        assert_eq!((args.hosts[0].as_str(), args.count), ("10.0.0.1", Some(3)));
        assert_eq!((args.size, args.preload), (56, 1));
        assert_eq!(args.linger.0, Some(Duration::from_secs(10)));
    }
    assert_eq!(ping("10.0.0.1 10.0.0.2 router").hosts.len(), 3);
}

#[test]
fn every_option_of_iputils() {
    let args = ping(
        "-A -b -B -c 1 -D -e 7 -f -i 0.5 -I 10.0.0.2 -l 2 -L -m 3 -M do -n -O -p ff -q -Q 0x10 -R \
         -s 8 -t 5 -U -v -w 3 -W 2 -a -4 h",
    );
    assert!(args.adaptive && args.broadcast && args.stamps && args.flood && args.numeric);
    assert!(args.outstanding && args.quiet && args.record_route && args.user_latency);
    assert_eq!(args.interval, Some(Duration::from_millis(500)));
    assert_eq!(args.discovery, Some(values::Discovery::Do));
    assert_eq!(args.deadline, Some(Duration::from_secs(3)));
    assert_eq!((args.tos, args.ttl, args.network.verbose), (Some(16), Some(5), 1));
}

#[test]
fn the_network_options_go_with_every_subcommand() {
    let options = "--tap t0 --addr 10.1.0.2/16 --host-addr 10.1.0.1/16 --gateway 10.1.0.1 \
                   --mac 02:00:00:00:00:09 --mtu 1400 --no-offload --busy-poll=20 \
                   --pcap x.pcapng --seed 7 -v";
    for command in ["ping", "arping", "trace", "tcping", "iperf3 -c"] {
        let network = match self::command(&format!("{command} {options} 10.1.0.1")) {
            Command::Ping(args) => args.network,
            Command::Arping(args) => args.network,
            Command::Trace(args) => args.network,
            Command::Tcping(args) => args.network,
            Command::Iperf3(args) => args.network,
            other => panic!("{other:?} has no network"),
        };
        assert_eq!(network.tap.as_deref(), Some("t0"));
        assert_eq!((network.mtu, network.seed), (Some(1400), Some(7)));
        assert!(network.no_offload);
        assert_eq!(network.busy_poll, Some(Duration::from_micros(20)));
    }
}

#[test]
fn network_options_may_stand_before_the_subcommand() {
    for line in [
        "--peer trace --mtu 900 -vv h",
        "-v --peer --mtu=900 -v trace h",
        "--mtu 900 -vv --peer trace h",
    ] {
        let Command::Trace(args) = command(line) else { panic!("{line} is not a trace") };
        let NetworkArgs { peer, mtu, verbose, .. } = args.network;
        assert_eq!((args.host.as_str(), peer, mtu, verbose), ("h", true, Some(900), 2), "{line}");
    }
    // A value that may be left out is never the next word.
    let Command::Trace(args) = command("--busy-poll trace h") else { panic!("not a trace") };
    assert_eq!(args.network.busy_poll, Some(Duration::from_micros(50)));
    assert_eq!(ping("--busy-poll 7").hosts, ["7"]);
    assert_eq!(ping("--busy-poll=0 h").network.busy_poll, Some(Duration::ZERO));
    // The value of an option is no subcommand, and after options of ping a word is a host.
    assert_eq!(ping("--tap trace h").network.tap.as_deref(), Some("trace"));
    assert_eq!(ping("-c 1 trace").hosts, ["trace"]);
    assert_eq!(ping("h trace").hosts, ["h", "trace"]);
}

#[test]
fn wrong_lines_are_told_in_one_line() {
    for (line, words) in [
        ("", "HOST"),
        ("-c 0 h", "out of range: 1 to"),
        ("-c", "-c <COUNT>"),
        ("-i -1 h", "out of range"),
        ("-s -1 h", "out of range: 0 to 65507"),
        ("-M maybe h", "do, want, dont or probe"),
        ("-p xyz h", "hex"),
        ("--mtu 67 h", "68 to 65521"),
        ("--mac 1 h", "six bytes"),
        ("--addr 10.0.0.2 h", "prefix length"),
        ("--nonsense h", "--nonsense"),
        ("--tap t0 --packet e0 h", "cannot be used with"),
        ("--tap a/b h", "'/'"),
        ("--walk --json h", "cannot be used with"),
        ("trace -q 11 h", "1 to 10"),
        ("arping", "HOST"),
    ] {
        let why = wrong(line);
        assert!(why.contains(words), "{line:?} gave: {why}");
        assert!(!why.contains('\n'), "{line:?} gave several lines: {why}");
    }
}

#[test]
fn help_and_version_are_printed() {
    for (line, words) in
        [("-h", "Usage"), ("--help", "Exit status"), ("-V", "tapping 0."), ("trace -h", "HOPS")]
    {
        match parsed(line) {
            Parsed::Print(text) => assert!(text.contains(words), "{line}: {text}"),
            _ => panic!("{line} printed nothing"),
        }
    }
}
