//! `tapping ss` about one end of a connection beside iproute2's ss about the other.

use tapping_drivers::testing::in_namespace;

use crate::common::{BINARY, Said, User, command};

/// The lines of one table, each as its words.
fn table(text: &str) -> Vec<Vec<&str>> {
    text.lines().map(|line| line.split_whitespace().collect()).collect()
}

/// What a program says while the kernel has a connection to the echo service of a stack.
fn beside_a_connection(script: &str) -> Said {
    let script = format!(
        "exec 3<>/dev/tcp/10.0.0.2/7; echo hello >&3; read -r -u 3 back; \
         [ \"$back\" = hello ] || exit 3; {script}"
    );
    let words = ["serve", "--tcp-echo", "7", "--exec", "bash", "-c", &script];
    Said::by(&mut command(User::Own, words)).good()
}

#[test]
fn both_ends_are_told_alike() {
    in_namespace(|| {
        let binary = BINARY.display();
        let script = format!("ss -tnH dport = 7; {binary} ss -tnH sport = 7");
        let said = beside_a_connection(&script);
        let lines = table(&said.out);
        assert_eq!(lines.len(), 2, "{said:#?}");
        let (kernel, ours) = (&lines[0], &lines[1]);
        assert_eq!(kernel[..3], ours[..3], "{said:#?}");
        assert_eq!((kernel[3], kernel[4]), (ours[4], ours[3]), "{said:#?}");
    });
}

#[test]
fn the_header_is_the_same() {
    in_namespace(|| {
        let binary = BINARY.display();
        let script = format!("ss -tn dport = 7; {binary} ss -tn sport = 7");
        let said = beside_a_connection(&script);
        let lines = table(&said.out);
        assert_eq!(lines.len(), 4, "{said:#?}");
        let header = |at: usize| lines[at].concat();
        assert_eq!(header(0), header(2), "{said:#?}");
        assert_eq!(lines[1].len(), lines[3].len(), "{said:#?}");
    });
}

#[test]
fn the_words_of_tcp_info_stand_in_the_same_order() {
    in_namespace(|| {
        let binary = BINARY.display();
        let script = format!("ss -tniOH dport = 7; {binary} ss -tniOH sport = 7");
        let said = beside_a_connection(&script);
        // Of each word the part that is no number.
        let names = |line: &str| -> Vec<String> {
            let words = line.split_whitespace().skip(5);
            let name = |word: &str| word.split([':', '(']).next().unwrap_or_default().to_string();
            words.map(name).filter(|name| name.starts_with(|c: char| c.is_alphabetic())).collect()
        };
        let lines: Vec<&str> = said.out.lines().collect();
        let (kernel, ours) = (names(lines[0]), names(lines[1]));
        let common: Vec<&String> = kernel.iter().filter(|name| ours.contains(name)).collect();
        let ours: Vec<&String> = ours.iter().filter(|name| kernel.contains(name)).collect();
        assert_eq!(common, ours, "{said:#?}");
        assert!(common.len() >= 15, "{said:#?}");
    });
}

#[test]
fn routes_and_addresses_are_told_alike() {
    in_namespace(|| {
        let binary = BINARY.display();
        let script = format!(
            "ip -4 route; {binary} ip route; ip -br -4 addr show up; {binary} ip -br addr show up"
        );
        let said = beside_a_connection(&script);
        let lines = table(&said.out);
        let (kernel, ours) = (&lines[0], &lines[1]);
        assert_eq!(kernel.len(), ours.len(), "{said:#?}");
        for (n, (kernel, ours)) in kernel.iter().zip(ours).enumerate() {
            // But for the name of the device, and whose address it is.
            assert!(kernel == ours || matches!(n, 2 | 8), "{kernel} {ours} in {said:#?}");
        }
        assert!(lines.iter().filter(|words| words.contains(&"UNKNOWN")).count() >= 1, "{said:#?}");
    });
}
