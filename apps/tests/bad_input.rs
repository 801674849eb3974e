//! Whatever is wrong: one line on standard error, exit status 2, nothing left behind.

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use common::{BINARY, Said, Scratch, User, interfaces, is_root, tapping, tapping_as, users};
use tapping_drivers::tap::Tap;
use tapping_drivers::testing::{in_namespace, skip};
use tapping_stack::wire::MacAddr;

#[test]
fn values_of_options() {
    for (line, words) in [
        ("", &["HOST", "--help"][..]),
        ("-c", &["-c"]),
        ("-c 0 10.0.0.1", &["'0'", "-c", "1 to"]),
        ("-c x 10.0.0.1", &["'x'", "whole number"]),
        ("-i -1 10.0.0.1", &["'-1'", "-i"]),
        ("-i x 10.0.0.1", &["seconds"]),
        ("-s 65508 10.0.0.1", &["0 to 65507"]),
        ("-s -1 10.0.0.1", &["0 to 65507"]),
        ("-t 0 10.0.0.1", &["1 to 255"]),
        ("-t 256 10.0.0.1", &["1 to 255"]),
        ("-l 65537 10.0.0.1", &["1 to 65536"]),
        ("-p xyz 10.0.0.1", &["hex"]),
        ("-p 0123456789abcdef0123456789abcdef01 10.0.0.1", &["16 bytes"]),
        ("-Q 256 10.0.0.1", &["0 to 255"]),
        ("-M maybe 10.0.0.1", &["do, want, dont or probe"]),
        ("-W 0.0001 10.0.0.1", &["0.001"]),
        ("--mtu 67 10.0.0.1", &["68 to 65521"]),
        ("--mtu 65522 10.0.0.1", &["68 to 65521"]),
        ("--mtu big 10.0.0.1", &["whole number"]),
        ("--mac 02:00:00:00:00 10.0.0.1", &["six bytes"]),
        ("--mac 01:00:5e:00:00:01 10.0.0.1", &["one station"]),
        ("--addr 10.0.0.2 10.0.0.1", &["prefix length"]),
        ("--addr 10.0.0.2/33 10.0.0.1", &["32"]),
        ("--addr 10.0.0.0/24 10.0.0.1", &["network"]),
        ("--addr 10.0.0.255/24 10.0.0.1", &["broadcast"]),
        ("--host-addr 300.0.0.1/24 10.0.0.1", &["address"]),
        ("--gateway router 10.0.0.1", &["IPv4 address"]),
        ("--seed -1 10.0.0.1", &["number"]),
        ("--tap sixteen_bytes_xx 10.0.0.1", &["15 bytes"]),
        ("--tap a/b 10.0.0.1", &["'/'"]),
        ("--packet . 10.0.0.1", &["--packet"]),
        ("--tap t0 --packet e0 10.0.0.1", &["--tap", "--packet"]),
        ("--nonsense 10.0.0.1", &["--nonsense"]),
        ("trace -m 0 10.0.0.1", &["1 to 255"]),
        ("trace -q 11 10.0.0.1", &["1 to 10"]),
        ("trace -f 31 10.0.0.1", &["-f 31", "-m 30"]),
        ("trace 10.0.0.1 27", &["28 to 65535"]),
        ("arping 10.0.0.1 10.0.0.2", &["10.0.0.2"]),
        ("arping -D -U 10.0.0.1", &["-D", "-U"]),
    ] {
        tapping(line).refused(words);
    }
}

#[test]
fn addresses_that_do_not_go_together() {
    for (line, words) in [
        ("--addr 10.0.0.1/24 --host-addr 10.0.0.1/24 10.0.0.1", &["--addr", "10.0.0.1"][..]),
        ("--addr 10.0.0.2/24 --host-addr 10.1.0.1/24 10.0.0.1", &["same subnet"]),
        ("--host-addr 10.1.0.1/24 10.1.0.1", &["--host-addr 10.1.0.1/24", "give --addr"]),
        ("--gateway 10.1.0.1 10.0.0.1", &["--gateway", "10.0.0.0/24"]),
        ("--gateway 10.0.0.2 10.0.0.1", &["own address"]),
        ("--addr 10.0.0.2/32 10.0.0.1", &["prefix"]),
        ("192.0.2.1", &["192.0.2.1", "Network is unreachable", "--gateway"]),
        ("trace 192.0.2.1", &["Network is unreachable", "--gateway"]),
        ("-I 10.0.0.3 10.0.0.1", &["10.0.0.3", "--addr"]),
        ("-I nolink 10.0.0.1", &["nolink"]),
        ("arping -I nolink 10.0.0.1", &["nolink"]),
        ("-e 7 10.0.0.1 10.0.0.9", &["-e"]),
    ] {
        let Said { err, .. } = tapping(line).refused(words);
        assert!(err.starts_with("tapping: "), "{err}");
    }
}

#[test]
fn hosts_that_cannot_be_resolved() {
    for user in users() {
        tapping_as(user, "nosuchhost.invalid").refused(&["nosuchhost.invalid"]);
    }
    for line in ["10.0.0.256", "::1", "arping nosuchhost.invalid", "trace nosuchhost.invalid"] {
        tapping(line).refused(&[line.split(' ').next_back().unwrap()]);
    }
}

#[test]
fn a_capture_that_cannot_be_written() {
    for line in [
        "--pcap /nosuchdirectory/x.pcapng 10.0.0.1",
        "--pcap / 10.0.0.1",
        "--pcap /dev/full 10.0.0.1",
        "trace --pcap /nosuchdirectory/x.pcapng 10.0.0.1",
    ] {
        tapping(line).refused(&["cannot write the capture", "--pcap"]);
    }
    if is_root() && users().contains(&User::Nobody) {
        let scratch = Scratch::new("locked");
        let locked = scratch.path("locked");
        fs::create_dir(&locked).unwrap();
        fs::set_permissions(&locked, PermissionsExt::from_mode(0o755)).unwrap();
        let line = format!("--pcap {}/x.pcapng 10.0.0.1", locked.display());
        tapping_as(User::Nobody, &line).refused(&["Permission denied"]);
    }
}

#[test]
fn a_refused_run_leaves_no_capture_behind() {
    let scratch = Scratch::new("left");
    let path = scratch.path("x.pcapng");
    for rest in ["192.0.2.1", "-I nolink 10.0.0.1", "--packet nosuchif 10.0.0.1", "nohost.invalid"]
    {
        tapping(&format!("--pcap {} {rest}", path.display())).refused(&[]);
        assert!(scratch.files().is_empty(), "{rest} left {:?}", scratch.files());
    }
}

/// Runs `script` as sh(1), with the command and `args` as its words, in a disk of
/// one page mounted for it alone; `None` where that cannot be done here.
fn on_a_small_disk(name: &str, script: &str, args: &[&str]) -> Option<Said> {
    let scratch = Scratch::new(name);
    let mounted = scratch.path("disk");
    fs::create_dir(&mounted).unwrap();
    let script =
        format!("mount -t tmpfs -o size=4096 none \"$1\" && cd \"$1\" && shift && {script}");
    let mut command = Command::new("unshare");
    command.args(["-Urm", "sh", "-c", &script, "sh"]).arg(&mounted).arg(&*BINARY).args(args);
    let output = command.output();
    let output = output.map_err(|error| skip(&format!("no unshare(1): {error}"))).ok()?;
    let said = Said::from_output(format!("{command:?}"), &output);
    if said.err.starts_with("unshare: ") || said.err.starts_with("mount: ") {
        skip(&format!("cannot mount a small disk here: {}", said.err.trim()));
        return None;
    }
    Some(said)
}

#[test]
fn a_full_disk_is_left_without_an_empty_capture() {
    let script = "head -c 4096 /dev/zero > full; \"$@\"; status=$?; ls; exit $status";
    let args = ["--pcap", "x.pcapng", "--peer", "-c", "1", "10.0.0.1"];
    let Some(said) = on_a_small_disk("full", script, &args) else { return };
    assert_eq!((said.status, said.out.as_str()), (2, "full\n"), "{said:#?}");
    assert!(said.err.contains("No space left on device"), "{said:#?}");
    assert_eq!(said.err.lines().count(), 1, "{said:#?}");
}

#[test]
fn a_disk_that_fills_up_is_told_once_and_the_ping_goes_on() {
    let line = "--pcap x.pcapng --peer -q -c 2000 -i 0 10.0.0.1";
    let args: Vec<&str> = line.split(' ').collect();
    let Some(said) = on_a_small_disk("small", "exec \"$@\"", &args) else { return };
    assert_eq!(said.status, 0, "{said:#?}");
    assert_eq!(said.err.matches("No space left on device").count(), 1, "{said:#?}");
    assert_eq!(said.err.lines().count(), 1, "{said:#?}");
    assert!(said.out.contains("2000 packets transmitted, 2000 received"), "{said:#?}");
}

#[test]
fn interfaces_that_cannot_be_had() {
    in_namespace(|| {
        let before = interfaces();
        tapping("--packet nosuchif 10.0.0.1").refused(&["nosuchif"]);
        tapping("--packet lo 10.0.0.1").refused(&["lo"]);
        tapping("--tap lo 10.0.0.1").refused(&["tapping: "]);
        assert_eq!(interfaces(), before);
    });
}

#[test]
fn an_ordinary_user_has_neither_capability() {
    let before = interfaces();
    let ordinary = users().into_iter().find(|&user| user == User::Nobody || !is_root());
    if let Some(user) = ordinary {
        tapping_as(user, "--tap t7 10.0.0.1").refused(&["root"]);
        tapping_as(user, "--packet lo 10.0.0.1").refused(&["tapping: "]);
    }
    assert_eq!(interfaces(), before);
}

#[test]
fn an_ordinary_users_own_tap_that_is_down() {
    if !is_root() || !users().contains(&User::Nobody) {
        return skip("only root can make a TAP for somebody else");
    }
    // Its own network, and its own /dev/net/tun that everybody may open.
    let script = "mount -t tmpfs -o mode=755 none /dev/net && mknod -m 666 /dev/net/tun c 10 200 \
        && ip tuntap add usr0 mode tap user nobody || { echo cannot; exit; }; \
        exec setpriv --reuid=65534 --regid=65534 --clear-groups --inh-caps=-all \"$@\"";
    for (rest, words) in [
        ("", ["cannot bring up usr0", "sudo ip link set up dev usr0"]),
        ("--host-addr 10.0.0.1/24", ["10.0.0.1/24", "sudo ip addr add 10.0.0.1/24 dev usr0"]),
    ] {
        let mut command = Command::new("unshare");
        command.args(["-nm", "sh", "-c", script, "sh"]).arg(&*BINARY);
        command.args(["--tap", "usr0", "-c", "1", "10.0.0.1"]).args(rest.split_whitespace());
        let said = match command.output() {
            Ok(output) => Said::from_output(format!("{command:?}"), &output),
            Err(error) => return skip(&format!("no unshare(1): {error}")),
        };
        if said.out.contains("cannot") || said.err.contains("setpriv: ") {
            return skip(&format!("cannot make a TAP for nobody here: {}", said.err.trim()));
        }
        said.refused(&words);
    }
}

#[test]
fn a_tap_that_somebody_has_open() {
    in_namespace(|| {
        let Ok(_tap) = Tap::open("taken", MacAddr([2, 0, 0, 0, 0, 9])) else {
            return skip("/dev/net/tun cannot be opened here");
        };
        tapping("--tap taken 10.0.0.1").refused(&["taken", "in use"]);
    });
}

#[test]
fn no_tun_device() {
    let script = "mount -t tmpfs none /dev/net && exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["-Urm", "sh", "-c", script, "sh"]).arg(&*BINARY);
    command.args(["--tap", "t0", "10.0.0.1"]);
    let output = command.output();
    let Ok(output) = output.map_err(|error| skip(&format!("no unshare(1): {error}"))) else {
        return;
    };
    let said = Said::from_output(format!("{command:?}"), &output);
    if said.err.starts_with("unshare: ") || said.err.starts_with("mount: ") {
        return skip(&format!("cannot hide /dev/net here: {}", said.err.trim()));
    }
    said.refused(&["/dev/net/tun", "modprobe tun"]);
}
