use super::super::{Command, Parsed, parse};
use super::*;

fn parsed(line: &str) -> Result<Iperf3Args, String> {
    let words = ["tapping", "iperf3"].into_iter().chain(line.split_whitespace());
    match parse(words.map(Into::into)) {
        Parsed::Run(command) => match *command {
            Command::Iperf3(args) => Ok(args),
            other => panic!("{line}: {other:?}"),
        },
        Parsed::Wrong(why) => Err(why),
        Parsed::Print(text) => panic!("{line} printed {text}"),
    }
}

#[test]
fn every_option_of_a_client() {
    let args = parsed(
        "-c host -p 5202 -i 0.5 -f M -J --rcv-timeout 500 -n 10M -u -R -P 4 -b 100M/8 \
         --pacing-timer 2000 -l 1K -w 256K -M 1400 -N -C bbr -O 2 -S 0x10 --cport 7000 \
         --connect-timeout 100 -T title --extra-data extra --get-server-output \
         --udp-counters-64bit --repeating-payload --dont-fragment -4 -v",
    )
    .unwrap();
    assert_eq!((args.client.as_deref(), args.port, args.json), (Some("host"), 5202, true));
    assert_eq!(
        (args.interval, args.format),
        (Duration::from_millis(500), Some(RateUnit::Bytes(2)))
    );
    assert_eq!((args.bytes, args.parallel, args.length), (Some(10 << 20), 4, Some(1024)));
    assert_eq!(args.bitrate, Some(Rate { bits: 100_000_000, burst: 8 }));
    assert_eq!((args.window, args.set_mss, args.omit), (Some(256 << 10), Some(1400), 2));
    assert_eq!((args.tos, args.cport, args.pacing_timer), (16, Some(7000), 2000));
    assert_eq!(args.congestion.as_deref(), Some("bbr"));
    assert!(args.udp && args.reverse && args.no_delay && args.dont_fragment);
}

#[test]
fn what_cannot_be_meant_is_refused() {
    assert!(parsed("-s -1 -p 80 -i 0 -J -f k").is_ok());
    assert!(parsed("-c h -b 0 -t 0 --bidir -k 7").is_err(), "a time and a count");
    for (line, word) in [
        ("", "--server"),
        ("-c", "--client"),
        ("-s -c h", "--client"),
        ("-s -t 3", "--time"),
        ("-s -R", "--reverse"),
        ("-c h -1", "--one-off"),
        ("-c h -R --bidir", "--bidir"),
        ("-c h -t 1 -n 1", "--bytes"),
        ("-c h -n 1 -k 1", "--blockcount"),
        ("-c h -p 0", "1 to 65535"),
        ("-c h -t 86401", "0 to 86400"),
        ("-c h -t 1.5", "whole number"),
        ("-c h -P 0", "1 to 128"),
        ("-c h -P 129", "1 to 128"),
        ("-c h -l 0", "1 to 1048576"),
        ("-c h -l 2M", "1 to 1048576"),
        ("-c h -n 0", "1 to"),
        ("-c h -n 1X", "K, M, G and T"),
        ("-c h -w 1G", "536870912"),
        ("-c h -M 87", "88 to 9216"),
        ("-c h -O 601", "0 to 600"),
        ("-c h -S 256", "0 to 255"),
        ("-c h -i 0.05", "0.1 to 60"),
        ("-c h -i 61", "0.1 to 60"),
        ("-c h -f x", "k, m, g, t"),
        ("-c h -C bogus", "cubic, reno, bbr"),
        ("-c h -b 1/", "whole number"),
        ("-c h -b 1/1001", "1 to 1000"),
        ("-c h -b -1", "number"),
        ("-c h --connect-timeout 0", "1 to"),
        ("-c h extra", "extra"),
    ] {
        let why = parsed(line).expect_err(line);
        assert!(why.contains(word) && !why.contains('\n'), "{line}: {why}");
    }
}
