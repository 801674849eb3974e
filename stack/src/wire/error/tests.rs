use std::string::ToString;

use super::*;

#[test]
fn the_message_names_layer_kind_place_and_numbers() {
    let error = WireError::truncated(Layer::Udp, 8, 3);
    assert_eq!(error.to_string(), "UDP truncated at offset 3: needed 8, had 3");
    let error = WireError::field(Layer::Ipv4, WireErrorKind::BadVersion, 0, 4, 6);
    assert_eq!(error.to_string(), "IPv4 version wrong at offset 0: needed 4, had 6");
}
