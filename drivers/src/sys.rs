//! The system calls that have no safe wrapper: the only unsafe code of the project.
//!
//! Each function is safe to call: it owns the structures it passes to the kernel, and whatever
//! lengths it is given come from slices.

use std::ffi::c_int;
use std::io;
use std::mem::{size_of, zeroed};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::namespace::{self, IdMaps, Namespaces};

/// What the kernel says about a received frame beside its bytes (`struct tpacket_auxdata`,
/// packet(7)).
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct AuxData {
    /// `TP_STATUS_*` bits.
    pub(crate) status: u32,
    /// Tag control information of the tag that the kernel took out of the frame.
    pub(crate) vlan_tci: u16,
    /// Ethertype of that tag.
    pub(crate) vlan_tpid: u16,
}

/// What one [`recv_packet`] brought.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Received {
    /// Length of the frame, which may be more than fitted in the buffer.
    pub(crate) len: usize,
    /// Whether bytes were lost because the buffer was too short.
    pub(crate) truncated: bool,
    /// Present once `PACKET_AUXDATA` is on.
    pub(crate) aux: AuxData,
}

/// The layout of `struct tpacket_auxdata` in `linux/if_packet.h`.
#[repr(C)]
#[derive(Clone, Copy)]
struct TpacketAuxdata {
    tp_status: u32,
    tp_len: u32,
    tp_snaplen: u32,
    tp_mac: u16,
    tp_net: u16,
    tp_vlan_tci: u16,
    tp_vlan_tpid: u16,
}

/// The layout of `struct packet_mreq` in `linux/if_packet.h`.
#[repr(C)]
#[derive(Clone, Copy)]
struct PacketMreq {
    mr_ifindex: c_int,
    mr_type: u16,
    mr_alen: u16,
    mr_address: [u8; 8],
}

/// The layout of `struct ethtool_value` in `linux/ethtool.h`.
#[repr(C)]
#[derive(Clone, Copy)]
struct EthtoolValue {
    cmd: u32,
    data: u32,
}

/// `SOL_PACKET` option numbers of `linux/if_packet.h`.
const PACKET_ADD_MEMBERSHIP: c_int = 1;
const PACKET_AUXDATA: c_int = 8;
const PACKET_IGNORE_OUTGOING: c_int = 23;
const PACKET_MR_PROMISC: u16 = 1;

/// Room for one control message that holds a [`TpacketAuxdata`], aligned as `cmsghdr` is.
#[repr(C, align(8))]
struct ControlBuffer([u8; 64]);

fn check(result: c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Sets a socket option whose value is the plain-data `T`.
pub(crate) fn set_option<T: Copy>(
    fd: BorrowedFd<'_>,
    level: c_int,
    name: c_int,
    value: T,
) -> io::Result<()> {
    // SAFETY: the pointer and the length describe `value`, which outlives the call; the kernel
    // only reads it.
    check(unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            level,
            name,
            (&raw const value).cast(),
            size_of::<T>() as libc::socklen_t,
        )
    })
}

/// Reads an option of a socket into `value`; returns how many bytes it has.
pub(crate) fn get_option(
    fd: BorrowedFd<'_>,
    level: c_int,
    name: c_int,
    value: &mut [u8],
) -> io::Result<usize> {
    let mut len = value.len() as libc::socklen_t;
    // SAFETY: the pointer and the length describe `value`, which outlives the call.
    check(unsafe {
        libc::getsockopt(fd.as_raw_fd(), level, name, value.as_mut_ptr().cast(), &raw mut len)
    })?;
    Ok(len as usize)
}

/// Binds a packet socket to the interface, for the ethertype `protocol` in host order.
pub(crate) fn bind_packet(fd: BorrowedFd<'_>, ifindex: u32, protocol: u16) -> io::Result<()> {
    // SAFETY: `sockaddr_ll` is plain data for which all zeroes is a value.
    let mut address: libc::sockaddr_ll = unsafe { zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = protocol.to_be();
    address.sll_ifindex = ifindex as c_int;
    // SAFETY: the pointer and the length describe `address`, which outlives the call; the kernel
    // only reads it.
    check(unsafe {
        libc::bind(
            fd.as_raw_fd(),
            (&raw const address).cast(),
            size_of::<libc::sockaddr_ll>() as libc::socklen_t,
        )
    })
}

/// Makes the interface promiscuous for as long as the socket lives.
pub(crate) fn packet_promiscuous(fd: BorrowedFd<'_>, ifindex: u32) -> io::Result<()> {
    let request = PacketMreq {
        mr_ifindex: ifindex as c_int,
        mr_type: PACKET_MR_PROMISC,
        mr_alen: 0,
        mr_address: [0; 8],
    };
    set_option(fd, libc::SOL_PACKET, PACKET_ADD_MEMBERSHIP, request)
}

/// Asks for auxiliary data with each frame, and for no frames that go out (Linux 4.20).
pub(crate) fn packet_options(fd: BorrowedFd<'_>) -> io::Result<()> {
    set_option(fd, libc::SOL_PACKET, PACKET_AUXDATA, 1 as c_int)?;
    set_option(fd, libc::SOL_PACKET, PACKET_IGNORE_OUTGOING, 1 as c_int)
}

/// Receives one frame from a packet socket into `buffer`.
pub(crate) fn recv_packet(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<Received> {
    let mut iov = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    let mut control = ControlBuffer([0; 64]);
    // SAFETY: `msghdr` is plain data for which all zeroes is a value.
    let mut message: libc::msghdr = unsafe { zeroed() };
    message.msg_iov = &raw mut iov;
    message.msg_iovlen = 1;
    message.msg_control = (&raw mut control).cast();
    message.msg_controllen = size_of::<ControlBuffer>() as _;
    // SAFETY: `message` points at one iovec over `buffer` and at `control`, with their lengths;
    // all live through the call. With MSG_TRUNC the result may exceed the buffer, which the
    // caller is told by `truncated`.
    let result = unsafe { libc::recvmsg(fd.as_raw_fd(), &raw mut message, libc::MSG_TRUNC) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    let mut aux = AuxData::default();
    // SAFETY: `message` was filled in by the kernel; the CMSG macros walk `control` within
    // `msg_controllen`.
    let mut header = unsafe { libc::CMSG_FIRSTHDR(&raw const message) };
    while !header.is_null() {
        // SAFETY: a non-null header points at a whole `cmsghdr` inside `control`, which is
        // aligned for it; its data is read unaligned and only when the kernel says it is there.
        unsafe {
            let needed = libc::CMSG_LEN(size_of::<TpacketAuxdata>() as u32) as usize;
            if (*header).cmsg_level == libc::SOL_PACKET
                && (*header).cmsg_type == PACKET_AUXDATA
                && (*header).cmsg_len as usize >= needed
            {
                let data = libc::CMSG_DATA(header).cast::<TpacketAuxdata>().read_unaligned();
                aux = AuxData {
                    status: data.tp_status,
                    vlan_tci: data.tp_vlan_tci,
                    vlan_tpid: data.tp_vlan_tpid,
                };
            }
            header = libc::CMSG_NXTHDR(&raw const message, header);
        }
    }
    Ok(Received { len: result as usize, truncated: message.msg_flags & libc::MSG_TRUNC != 0, aux })
}

/// A request about the interface called `name` (netdevice(7)).
fn interface_request(name: &str) -> libc::ifreq {
    // SAFETY: `ifreq` is plain data for which all zeroes is a value.
    let mut request: libc::ifreq = unsafe { zeroed() };
    // The last byte stays zero.
    let room = request.ifr_name.len() - 1;
    for (to, from) in request.ifr_name[..room].iter_mut().zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    request
}

/// One `ETHTOOL_S*` command with a value, on the interface called `name` (netdevice(7),
/// `linux/ethtool.h`).
pub(crate) fn ethtool_set(
    fd: BorrowedFd<'_>,
    name: &str,
    command: u32,
    value: u32,
) -> io::Result<()> {
    let mut argument = EthtoolValue { cmd: command, data: value };
    let mut request = interface_request(name);
    request.ifr_ifru.ifru_data = (&raw mut argument).cast();
    // SAFETY: SIOCETHTOOL takes an `ifreq` whose data points at the command's structure, here
    // `ethtool_value`; both outlive the call.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), libc::SIOCETHTOOL as _, &raw mut request) })
}

/// Attaches a descriptor of `/dev/net/tun` to the interface called `name`, which is made if there
/// is none (`TUNSETIFF`, Documentation/networking/tuntap.rst). Returns its name.
pub(crate) fn tun_attach(fd: BorrowedFd<'_>, name: &str, flags: c_int) -> io::Result<String> {
    let mut request = interface_request(name);
    request.ifr_ifru.ifru_flags = flags as libc::c_short;
    // SAFETY: TUNSETIFF takes an `ifreq`, reads its name and flags, and writes them.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TUNSETIFF as _, &raw mut request) })?;
    let name = request.ifr_name.iter().map(|byte| *byte as u8).take_while(|byte| *byte != 0);
    Ok(String::from_utf8_lossy(&name.collect::<Vec<_>>()).into_owned())
}

/// Which offloads who reads from the TUN or TAP descriptor can take (`TUNSETOFFLOAD`, `TUN_F_*`).
pub(crate) fn tun_set_offload(fd: BorrowedFd<'_>, features: u32) -> io::Result<()> {
    let features = libc::c_ulong::from(features);
    // SAFETY: TUNSETOFFLOAD takes a number, no pointer.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TUNSETOFFLOAD as _, features) })
}

/// Sets what the TUN or TAP descriptor puts in front of frames: `len` bytes of virtio-net header,
/// little-endian (`TUNSETVNETHDRSZ`, `TUNSETVNETLE`).
pub(crate) fn tun_set_vnet_header(fd: BorrowedFd<'_>, len: usize) -> io::Result<()> {
    for (request, value) in [(libc::TUNSETVNETHDRSZ, len as c_int), (libc::TUNSETVNETLE, 1)] {
        // SAFETY: both take a pointer to an `int` and only read it; it outlives the call.
        check(unsafe { libc::ioctl(fd.as_raw_fd(), request as _, &raw const value) })?;
    }
    Ok(())
}

/// The part of `union bpf_attr` that `BPF_PROG_LOAD` reads (`linux/bpf.h`).
#[repr(C)]
struct BpfProgLoad {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
}

/// Lets a program choose the queue of each frame that the TAP sends (`TUNSETSTEERINGEBPF`); without
/// instructions the kernel chooses by itself again.
pub(crate) fn tun_steer(fd: BorrowedFd<'_>, program: &[u64]) -> io::Result<()> {
    const BPF_PROG_LOAD: c_int = 5;
    const BPF_PROG_TYPE_SOCKET_FILTER: u32 = 1;
    let mut loaded = None;
    if !program.is_empty() {
        let attributes = BpfProgLoad {
            prog_type: BPF_PROG_TYPE_SOCKET_FILTER,
            insn_cnt: program.len() as u32,
            insns: program.as_ptr() as u64,
            license: c"MIT".as_ptr() as u64,
            log_level: 0,
            log_size: 0,
            log_buf: 0,
            kern_version: 0,
            prog_flags: 0,
        };
        let size = size_of::<BpfProgLoad>();
        // SAFETY: `attributes` is what BPF_PROG_LOAD reads, of the size that is told, and points at
        // the instructions, as many as it says, and a string that ends with zero; all outlive the
        // call. Whatever the instructions are, the kernel's verifier lets them do no harm.
        let result =
            unsafe { libc::syscall(libc::SYS_bpf, BPF_PROG_LOAD, &raw const attributes, size) };
        check(result as c_int)?;
        // SAFETY: it is a new descriptor, which nobody else has.
        loaded = Some(unsafe { OwnedFd::from_raw_fd(result as c_int) });
    }
    let number = loaded.as_ref().map_or(-1, AsRawFd::as_raw_fd);
    // SAFETY: TUNSETSTEERINGEBPF takes a pointer to an `int` and only reads it; it outlives the
    // call. The kernel keeps the program when the descriptor is closed.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TUNSETSTEERINGEBPF as _, &raw const number) })
}

/// The descriptor of a TAP interface, which lives as long as the interface is borrowed.
pub(crate) fn tap_fd(iface: &tun_tap::Iface) -> BorrowedFd<'_> {
    // SAFETY: `iface` owns the descriptor and keeps it open for as long as it is borrowed.
    unsafe { BorrowedFd::borrow_raw(iface.as_raw_fd()) }
}

/// Moves the calling thread into new namespaces.
pub(crate) fn unshare(namespaces: Namespaces) -> io::Result<()> {
    let flags = match namespaces {
        Namespaces::Network => rustix::thread::UnshareFlags::NEWNET,
        Namespaces::UserAndNetwork => {
            rustix::thread::UnshareFlags::NEWUSER | rustix::thread::UnshareFlags::NEWNET
        }
    };
    // SAFETY: unsharing is unsafe for descriptor tables (FILES); these flags do not touch them.
    Ok(unsafe { rustix::thread::unshare_unsafe(flags) }?)
}

/// Makes `command` start in new namespaces, as root of them.
pub(crate) fn start_in_namespaces(command: &mut Command, maps: IdMaps) {
    let enter = move || namespace::enter(&maps);
    // SAFETY: between fork and exec only async-signal-safe calls are allowed. `enter` makes
    // system calls alone, on memory made before the fork.
    unsafe {
        command.pre_exec(enter);
    }
}

/// Asks the kernel for extended acknowledgements, without echoing the request (netlink(7)).
pub(crate) fn netlink_extended_errors(fd: &impl AsFd) -> io::Result<()> {
    set_option(fd.as_fd(), libc::SOL_NETLINK, libc::NETLINK_CAP_ACK, 1 as c_int)?;
    set_option(fd.as_fd(), libc::SOL_NETLINK, libc::NETLINK_EXT_ACK, 1 as c_int)
}
