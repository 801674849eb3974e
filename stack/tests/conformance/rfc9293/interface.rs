conformance! { "RFC 0", "x"; }
