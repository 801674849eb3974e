//! What both sides tell each other after a test.

use serde_json::Value;

use super::tree::{Json, object};

/// What one side has counted.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Results {
    /// The processor time that it took.
    pub cpu: Cpu,
    /// Whether retransmissions are known; nothing from one that does not send.
    pub has_retransmits: Option<bool>,
    /// The congestion control algorithm that was used.
    pub congestion: Option<String>,
    /// The server's report, if it was asked for.
    pub server_output: Option<ServerOutput>,
    /// The streams.
    pub streams: Vec<StreamResult>,
}

/// Processor time, in percent of the time that passed.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Cpu {
    /// All of it.
    pub total: f64,
    /// In the program.
    pub user: f64,
    /// In the kernel.
    pub system: f64,
}

/// What the server has shown at its end.
#[derive(Debug, Clone, PartialEq)]
pub enum ServerOutput {
    /// Lines.
    Text(String),
    /// Its JSON.
    Json(Json),
}

/// One stream, as one side has seen it.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct StreamResult {
    /// Its number: 1, 3, 4, 5 and so on.
    pub id: i64,
    /// Payload sent or received.
    pub bytes: u64,
    /// Segments sent again, where that is known.
    pub retransmits: Option<u64>,
    /// Of the datagrams' transit times, in seconds.
    pub jitter: f64,
    /// Datagrams that did not come.
    pub errors: u64,
    /// Datagrams sent, or sent as far as the receiver knows; those left out included.
    pub packets: u64,
    /// Of these, not counted: lost and all. From one that does not say, nothing.
    pub omitted: Option<(u64, u64)>,
    /// Seconds that it took.
    pub seconds: f64,
}

/// The number of the stream of this index: iperf3 counts 1, 3, 4, 5.
pub fn stream_id(index: usize) -> i64 {
    if index == 0 { 1 } else { index as i64 + 2 }
}

impl Results {
    /// The message.
    pub fn to_json(&self) -> Json {
        let mut json = object! {
            "cpu_util_total" => self.cpu.total,
            "cpu_util_user" => self.cpu.user,
            "cpu_util_system" => self.cpu.system,
            "sender_has_retransmits" => self.has_retransmits.map_or(-1, i32::from),
        };
        if let Some(congestion) = &self.congestion {
            json.push("congestion_used", congestion.clone());
        }
        match &self.server_output {
            None => {}
            Some(ServerOutput::Text(text)) => json.push("server_output_text", text.clone()),
            Some(ServerOutput::Json(tree)) => json.push("server_output_json", tree.clone()),
        }
        let streams: Vec<Json> = self.streams.iter().copied().map(StreamResult::to_json).collect();
        json.push("streams", streams);
        json
    }

    /// Reads the message; what is wrong with it otherwise.
    pub fn from_json(text: &[u8]) -> Result<Results, String> {
        let mut value: Value =
            serde_json::from_slice(text).map_err(|error| format!("they are not JSON: {error}"))?;
        let streams = value.get("streams").and_then(Value::as_array);
        let streams = streams.ok_or_else(|| "they name no streams".to_string())?;
        let streams = streams.iter().map(StreamResult::from_json).collect::<Result<_, _>>()?;
        let float = |name| value.get(name).and_then(Value::as_f64).unwrap_or(0.0);
        let cpu = Cpu {
            total: float("cpu_util_total"),
            user: float("cpu_util_user"),
            system: float("cpu_util_system"),
        };
        let has_retransmits = count(&value, "sender_has_retransmits").map(|has| has != 0);
        let text = |name| value.get(name).and_then(Value::as_str).map(String::from);
        let congestion = text("congestion_used");
        let server_output = text("server_output_text").map(ServerOutput::Text).or_else(|| {
            let tree = value.get_mut("server_output_json")?.take();
            Some(ServerOutput::Json(tree.into()))
        });
        Ok(Results { cpu, has_retransmits, congestion, server_output, streams })
    }
}

impl StreamResult {
    fn to_json(self) -> Json {
        let mut json = object! {
            "id" => self.id,
            "bytes" => self.bytes,
            "retransmits" => self.retransmits.map_or(Json::Int(-1), Json::from),
            "jitter" => self.jitter,
            "errors" => self.errors,
            "packets" => self.packets,
            "start_time" => 0u8,
            "end_time" => self.seconds,
        };
        if let Some((errors, packets)) = self.omitted {
            json.push("omitted_errors", errors);
            json.push("omitted_packets", packets);
        }
        json
    }

    fn from_json(value: &Value) -> Result<StreamResult, String> {
        let field = |name: &str| {
            count(value, name).ok_or_else(|| format!("a stream's {name} is not a number"))
        };
        let float = |name| value.get(name).and_then(Value::as_f64).filter(|number| *number >= 0.0);
        let omitted = count(value, "omitted_errors").zip(count(value, "omitted_packets"));
        Ok(StreamResult {
            id: field("id")? as i64,
            bytes: field("bytes")?,
            retransmits: count(value, "retransmits"),
            jitter: float("jitter").unwrap_or(0.0),
            // Late datagrams may bring this below nothing.
            errors: count(value, "errors").unwrap_or(0),
            packets: field("packets")?,
            omitted,
            seconds: float("end_time").unwrap_or(0.0) - float("start_time").unwrap_or(0.0),
        })
    }
}

/// A count; iperf3 writes "not known" as −1, and that as 2⁶⁴ − 1.
fn count(value: &Value, name: &str) -> Option<u64> {
    let number = value.get(name)?;
    let count = number.as_u64().or_else(|| {
        let float = number.as_f64().filter(|float| *float >= 0.0)?;
        Some(float as u64)
    })?;
    (count <= i64::MAX as u64).then_some(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_iperf3() {
        // As iperf3 3.12 sends them.
        let results = Results::from_json(
            br#"{"cpu_util_total":0.5,"cpu_util_user":0.25,"cpu_util_system":0,
            "sender_has_retransmits":18446744073709551615,"congestion_used":"bbr","streams":[
            {"id":1,"bytes":25000,"retransmits":18446744073709551615,"jitter":2.1e-05,"errors":0,
            "packets":376,"start_time":0,"end_time":2.000479}]}"#,
        )
        .unwrap();
        assert_eq!((results.has_retransmits, results.congestion.as_deref()), (None, Some("bbr")));
        assert_eq!(results.cpu, Cpu { total: 0.5, user: 0.25, system: 0.0 });
        let stream = &results.streams[0];
        assert_eq!((stream.id, stream.bytes, stream.retransmits), (1, 25_000, None));
        assert_eq!((stream.packets, stream.omitted, stream.seconds), (376, None, 2.000479));
    }

    #[test]
    fn what_is_sent_can_be_read() {
        let stream = StreamResult {
            id: 3,
            bytes: 1 << 40,
            retransmits: Some(7),
            jitter: 0.25,
            errors: 2,
            packets: 9,
            omitted: Some((1, 4)),
            seconds: 1.5,
        };
        for server_output in [
            None,
            Some(ServerOutput::Text("a\nb".into())),
            Some(ServerOutput::Json(Json::Foreign(Value::from(vec![1])))),
        ] {
            let results = Results {
                cpu: Cpu { total: 3.0, user: 2.0, system: 1.0 },
                has_retransmits: Some(true),
                congestion: Some("cubic".into()),
                server_output,
                streams: vec![stream, StreamResult { retransmits: None, ..stream }],
            };
            let text = results.to_json().to_string();
            assert_eq!(Results::from_json(text.as_bytes()), Ok(results));
        }
    }

    #[test]
    fn hostile_results_are_refused() {
        for text in [
            "",
            "7",
            "{}",
            r#"{"streams":7}"#,
            r#"{"streams":[7]}"#,
            r#"{"streams":[{"id":1,"bytes":-1,"packets":0}]}"#,
            r#"{"streams":[{"id":1,"bytes":"x","packets":0}]}"#,
        ] {
            assert!(Results::from_json(text.as_bytes()).is_err(), "{text} was taken");
        }
    }

    #[test]
    fn streams_are_numbered_as_iperf3_does() {
        assert_eq!((0..4).map(stream_id).collect::<Vec<_>>(), [1, 3, 4, 5]);
    }
}
