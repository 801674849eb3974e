//! Scenarios in virtual time: whole stacks on simulated wires, driven through the public API.

mod lab;

mod acd;
mod arp;
mod icmp;
