//! The examples work.

macro_rules! examples {
    ($($name:ident = $path:literal)*) => {$(
        #[path = $path]
        mod $name;

        #[test]
        fn $name() {
            $name::main().unwrap();
        }
    )*};
}

examples! {
    custom_device = "../examples/custom_device.rs"
    firewall = "../examples/firewall.rs"
    http = "../examples/http.rs"
    tcp_proxy = "../examples/tcp_proxy.rs"
    tls_echo = "../examples/tls_echo.rs"
    two_stacks = "../examples/two_stacks.rs"
}
