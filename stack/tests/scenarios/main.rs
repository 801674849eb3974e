//! Scenarios in virtual time: whole stacks on simulated wires, driven through the public API.

mod lab;

mod acd;
mod arp;
mod events;
mod forward;
mod hooks;
mod icmp;
mod igmp;
mod ipv4_input;
mod ipv4_output;
mod large;
mod links;
mod loopback;
mod oddities;
mod reassembly;
mod settings;
mod sockets;
mod tcp_bench;
mod tcp_sockets;
mod tun;
mod udp;
