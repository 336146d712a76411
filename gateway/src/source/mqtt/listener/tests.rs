use std::{collections::BTreeMap, time::Instant};

use rumqttc::{AsyncClient, Event, MqttOptions, Packet, QoS};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

use super::*;
use crate::source::mqtt::testing::{Engine, bin, bin_with_rate, eventually, publish};

const MAX_PAYLOAD: usize = 8192;

struct Running {
    address: SocketAddr,
    counters: Arc<SourceCounters>,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

async fn start(
    devices: Vec<Arc<Device>>,
    passwords: &[(&str, &str)],
    out: mpsc::Sender<Arrival>,
) -> Running {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let counters = Arc::new(SourceCounters::default());
    let stop = CancellationToken::new();
    let listener = config::Listener {
        name: "ingest".into(),
        listen: address,
        passwords: passwords
            .iter()
            .map(|(id, password)| ((*id).to_owned(), (*password).to_owned()))
            .collect::<BTreeMap<_, _>>(),
        max_payload: MAX_PAYLOAD,
        max_connections: 4,
    };
    let task = tokio::spawn(run(
        socket,
        listener,
        devices,
        Pictures::default(),
        out,
        Clock::start(),
        counters.clone(),
        stop.clone(),
    ));
    Running {
        address,
        counters,
        stop,
        task,
    }
}

impl Running {
    async fn stop(self) {
        self.stop.cancel();
        timeout(Duration::from_secs(5), self.task)
            .await
            .expect("the listener does not stop")
            .unwrap();
    }

    async fn dial(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Connects and logs in by hand.
    async fn raw(&self, id: &str, login: Option<(&str, &str)>) -> TcpStream {
        let mut stream = self.dial().await;
        stream
            .write_all(&connect_packet(id, login, 60))
            .await
            .unwrap();
        let mut answer = [0; 4];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(answer[3], 0, "refused");
        stream
    }

    async fn mosquitto_pub(&self, args: &[&str]) -> bool {
        publish(self.address.port(), args).await
    }
}

fn connect_packet(id: &str, login: Option<(&str, &str)>, keep_alive: u16) -> Vec<u8> {
    let mut body = vec![0, 4, b'M', b'Q', b'T', b'T', 4];
    body.push(if login.is_some() { 0xc2 } else { 2 });
    body.extend(keep_alive.to_be_bytes());
    let fields = [Some(id), login.map(|l| l.0), login.map(|l| l.1)];
    for text in fields.into_iter().flatten() {
        body.extend((text.len() as u16).to_be_bytes());
        body.extend(text.as_bytes());
    }
    let mut packet = vec![0x10, body.len() as u8];
    packet.append(&mut body);
    packet
}

fn publish_packet(topic: &str, payload: &[u8], id: u16) -> Vec<u8> {
    let mut packet = vec![0x32];
    let mut len = 2 + topic.len() + 2 + payload.len();
    while len >= 0x80 {
        packet.push((len & 0x7f) as u8 | 0x80);
        len >>= 7;
    }
    packet.push(len as u8);
    packet.extend((topic.len() as u16).to_be_bytes());
    packet.extend(topic.as_bytes());
    packet.extend(id.to_be_bytes());
    packet.extend(payload);
    packet
}

async fn expect(stream: &mut TcpStream, want: &[u8]) {
    let mut got = vec![0; want.len()];
    timeout(Duration::from_secs(5), stream.read_exact(&mut got))
        .await
        .expect("no answer")
        .unwrap();
    assert_eq!(got, want);
}

async fn expect_closed(stream: &mut TcpStream) {
    let mut rest = Vec::new();
    let end = timeout(Duration::from_secs(20), stream.read_to_end(&mut rest)).await;
    // An end or a reset.
    let _ = end.expect("the connection stays open");
    assert!(rest.is_empty(), "{rest:x?}");
}

fn fill(seq: u64, fill: u64) -> String {
    format!(r#"{{"seq":{seq},"fill":{fill}}}"#)
}

#[tokio::test]
async fn mosquitto_pub_is_acknowledged_when_the_disk_has_it_and_not_before() {
    let (engine, out) = Engine::held();
    let listener = start(vec![bin("bin-1", "ingest")], &[], out).await;
    for (qos, n) in [("1", 1), ("2", 2)] {
        let payload = fill(n, n);
        let args = ["-q", qos, "-t", "bins/bin-1", "-m", &payload, "-i", "p"];
        let published = listener.mosquitto_pub(&args);
        tokio::pin!(published);
        tokio::select! {
            _ = &mut published => panic!("acknowledged before the commit"),
            () = eventually("it arrived", || engine.waiting() == 1) => {}
        }
        // Arrived and not committed: mosquitto_pub must still wait.
        assert!(
            timeout(Duration::from_millis(200), &mut published)
                .await
                .is_err(),
            "acknowledged before the commit"
        );
        assert_eq!(engine.commit(), 1);
        assert!(published.await);
    }
    // QoS 0 waits for nothing.
    let payload = fill(3, 3);
    assert!(
        listener
            .mosquitto_pub(&["-t", "bins/bin-1", "-m", &payload])
            .await
    );
    eventually("QoS 0 arrived", || engine.fills("bin-1") == [1.0, 2.0, 3.0]).await;
    listener.stop().await;
}

#[tokio::test]
async fn bad_input_is_acknowledged_reported_once_and_touches_nobody() {
    let (engine, out) = Engine::prompt();
    let listener = start(
        vec![bin("bin-1", "ingest"), bin("bin-2", "ingest")],
        &[],
        out,
    )
    .await;
    let mut stream = listener.raw("c", None).await;
    let deep = format!("{}{}", "[".repeat(5000), "]".repeat(5000));
    let large = vec![b'x'; 100_000];
    let bad: [&[u8]; 7] = [
        b"",
        &large,
        deep.as_bytes(),
        br#"{"fill":NaN}"#,
        b"{\"fill\":1,\"x\":\"\xff\"}",
        br#"{"fill":"full"}"#,
        br#"{"id":"bin-2","fill":1}"#,
    ];
    let mut id = 0;
    for payload in bad {
        id += 1;
        let packet = publish_packet("bins/bin-1", payload, id);
        // In two pieces, to catch a packet that is refused before it is whole.
        let (a, b) = packet.split_at(packet.len() / 2);
        stream.write_all(a).await.unwrap();
        tokio::task::yield_now().await;
        stream.write_all(b).await.unwrap();
        expect(&mut stream, &[0x40, 2, 0, id as u8]).await;
    }
    let packet = publish_packet("nowhere", b"{}", 8);
    stream.write_all(&packet).await.unwrap();
    expect(&mut stream, &[0x40, 2, 0, 8]).await;
    for device in ["bin-1", "bin-2"] {
        let packet = publish_packet(&format!("bins/{device}"), br#"{"fill":7}"#, 9);
        stream.write_all(&packet).await.unwrap();
        expect(&mut stream, &[0x40, 2, 0, 9]).await;
        assert_eq!(engine.fills(device), [7.0]);
    }
    assert_eq!(engine.faults("bin-1").len(), 1);
    assert!(engine.faults("bin-1")[0].contains("empty"));
    assert!(engine.faults("bin-2").is_empty());
    let c = &listener.counters;
    assert_eq!(
        [
            c.received.get(),
            c.accepted.get(),
            c.refused.get(),
            c.garbage.get(),
            c.foreign.get(),
            c.unknown.get()
        ],
        [10, 2, 8, 6, 1, 1]
    );
    listener.stop().await;
}

#[tokio::test]
async fn a_device_is_who_its_password_says() {
    let (engine, out) = Engine::prompt();
    let listener = start(
        vec![bin("bin-1", "ingest"), bin("bin-2", "ingest")],
        &[("bin-1", "one"), ("bin-2", "two")],
        out,
    )
    .await;
    let publish = |user: &'static str, password: &'static str, topic: &'static str, n: u64| {
        let payload = fill(n, n);
        let listener = &listener;
        async move {
            let args = [
                "-q", "1", "-u", user, "-P", password, "-t", topic, "-m", &payload,
            ];
            listener.mosquitto_pub(&args).await
        }
    };
    assert!(publish("bin-1", "one", "bins/bin-1", 1).await);
    assert!(!publish("bin-1", "two", "bins/bin-1", 2).await);
    assert!(!publish("bin-3", "one", "bins/bin-1", 3).await);
    assert!(
        !listener
            .mosquitto_pub(&["-q", "1", "-t", "bins/bin-1", "-m", "{}"])
            .await
    );
    assert_eq!(engine.fills("bin-1"), [1.0]);

    // Another's topic: answered, refused, reported on the one who did it.
    assert!(publish("bin-1", "one", "bins/bin-2", 4).await);
    assert!(engine.fills("bin-2").is_empty());
    assert_eq!(engine.faults("bin-1").len(), 1);
    assert!(engine.faults("bin-2").is_empty());
    assert!(publish("bin-2", "two", "bins/bin-2", 5).await);
    assert_eq!(engine.fills("bin-2"), [5.0]);
    listener.stop().await;
}

#[tokio::test]
async fn acknowledgements_keep_the_order_of_the_messages() {
    let (engine, out) = Engine::held();
    let listener = start(vec![bin("bin-1", "ingest")], &[], out).await;
    let mut stream = listener.raw("c", None).await;
    let mut bytes = Vec::new();
    for n in 1..=5u16 {
        bytes.extend(publish_packet(
            "bins/bin-1",
            fill(n.into(), 1).as_bytes(),
            n,
        ));
    }
    // Garbage in between is answered in its place, not before.
    bytes.extend(publish_packet("bins/bin-1", b"garbage", 6));
    stream.write_all(&bytes).await.unwrap();
    eventually("all arrived", || engine.waiting() == 5).await;
    let mut waiting = engine.waiting_acks();
    let first = waiting.remove(0);
    waiting
        .into_iter()
        .rev()
        .for_each(crate::observation::Ack::done);
    let mut byte = [0];
    assert!(
        timeout(Duration::from_millis(200), stream.read(&mut byte))
            .await
            .is_err(),
        "something overtook the first"
    );
    first.done();
    for n in 1..=6 {
        expect(&mut stream, &[0x40, 2, 0, n]).await;
    }
    listener.stop().await;
}

#[tokio::test]
async fn what_was_not_acknowledged_is_sent_again_and_taken_once_it_is_safe() {
    let (engine, out) = Engine::held();
    let listener = start(vec![bin("bin-1", "ingest")], &[], out).await;
    let packet = publish_packet("bins/bin-1", fill(1, 1).as_bytes(), 1);
    let mut stream = listener.raw("c", None).await;
    stream.write_all(&packet).await.unwrap();
    eventually("it arrived", || engine.waiting() == 1).await;
    drop(stream);

    // Not on disk: taken again.
    let mut stream = listener.raw("c", None).await;
    stream.write_all(&packet).await.unwrap();
    eventually("it arrived again", || engine.waiting() == 2).await;
    engine.commit();
    // The acknowledgement is written, but the client is gone before it looks.
    stream.readable().await.unwrap();
    drop(stream);

    // On disk, and nobody knows: told now, not taken a third time.
    let mut stream = listener.raw("c", None).await;
    stream.write_all(&packet).await.unwrap();
    expect(&mut stream, &[0x40, 2, 0, 1]).await;
    assert_eq!(listener.counters.repeated.get(), 1);
    assert_eq!(engine.waiting(), 0);

    // Told: the same again is a replay.
    stream.write_all(&packet).await.unwrap();
    expect(&mut stream, &[0x40, 2, 0, 1]).await;
    eventually("the replay is reported", || {
        engine.faults("bin-1").len() == 1
    })
    .await;
    listener.stop().await;
}

#[tokio::test]
async fn a_full_pipeline_stops_the_reading_and_loses_nothing() {
    let (out, mut arrivals) = mpsc::channel(1);
    let listener = start(vec![bin_with_rate("bin-1", "ingest", 1e6)], &[], out).await;
    let n = 20_000u64;
    let stream = listener.raw("c", None).await;
    let (mut read, mut write) = stream.into_split();
    let writer = tokio::spawn(async move {
        for i in 1..=n {
            let id = (i % 65_535 + 1) as u16;
            let packet = publish_packet("bins/bin-1", fill(i, 1).as_bytes(), id);
            write.write_all(&packet).await.unwrap();
        }
        write
    });
    // Nobody takes anything: what has been read stays small.
    eventually("reading began", || listener.counters.received.get() > 0).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(listener.counters.received.get() < 10, "reading goes on");
    let acks = tokio::spawn(async move {
        let mut bytes = vec![0; 4 * n as usize];
        read.read_exact(&mut bytes).await.unwrap();
        bytes
    });
    for i in 1..=n {
        let arrival: Arrival = arrivals.recv().await.unwrap();
        assert!(
            arrival
                .payload
                .unwrap()
                .get()
                .contains(&format!("\"seq\":{i},"))
        );
        arrival.ack.unwrap().done();
    }
    let bytes = timeout(Duration::from_secs(20), acks)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(bytes[bytes.len() - 2..], (n as u16 + 1).to_be_bytes());
    drop(writer.await.unwrap());
    listener.stop().await;
}

#[tokio::test]
async fn one_device_floods_and_the_others_stay_fast() {
    let (engine, out) = Engine::prompt();
    let listener = start(
        vec![
            bin("bin-1", "ingest"),
            bin_with_rate("bin-2", "ingest", 1e4),
        ],
        &[("bin-1", "one"), ("bin-2", "two")],
        out,
    )
    .await;
    let flood = listener.raw("f", Some(("bin-1", "one"))).await;
    let (mut flood_read, mut flood_write) = flood.into_split();
    let flooding = tokio::spawn(async move {
        let mut bytes = Vec::new();
        for n in 1..=1000u16 {
            bytes.extend(publish_packet("bins/bin-1", br#"{"fill":1}"#, n));
        }
        for _ in 0..30 {
            flood_write.write_all(&bytes).await.unwrap();
        }
        flood_write
    });
    let drained = tokio::spawn(async move {
        let mut bytes = vec![0; 4 * 30_000];
        flood_read.read_exact(&mut bytes).await.unwrap();
    });
    let mut stream = listener.raw("g", Some(("bin-2", "two"))).await;
    let mut times = Vec::new();
    for n in 1..=200u16 {
        let start = Instant::now();
        let packet = publish_packet("bins/bin-2", fill(n.into(), 1).as_bytes(), n);
        stream.write_all(&packet).await.unwrap();
        expect(&mut stream, &[0x40, 2, (n >> 8) as u8, n as u8]).await;
        times.push(start.elapsed());
    }
    times.sort();
    let p99 = times[197];
    assert!(
        p99 < Duration::from_millis(250),
        "p99 beside a flood: {p99:?}"
    );
    timeout(Duration::from_secs(20), drained)
        .await
        .unwrap()
        .unwrap();
    drop(flooding.await.unwrap());
    assert_eq!(engine.fills("bin-2").len(), 200);
    let taken = engine.fills("bin-1").len();
    assert!((6_000..9_000).contains(&taken), "{taken} of the flood");
    assert_eq!(engine.faults("bin-1").len(), 1);
    listener.stop().await;
}

#[tokio::test]
async fn limits_on_connections_packets_and_patience() {
    let (_engine, out) = Engine::prompt();
    let listener = start(vec![bin("bin-1", "ingest")], &[], out).await;

    // Garbage instead of CONNECT; a packet before CONNECT; MQTT 5.
    let mut stream = listener.dial().await;
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    expect_closed(&mut stream).await;
    let mut stream = listener.dial().await;
    stream.write_all(&[0xc0, 0]).await.unwrap();
    expect_closed(&mut stream).await;
    let mut stream = listener.dial().await;
    stream
        .write_all(&[0x10, 13, 0, 4, b'M', b'Q', b'T', b'T', 5, 2, 0, 9, 0, 0, 0])
        .await
        .unwrap();
    expect(&mut stream, &[0x20, 2, 0, wire::WRONG_VERSION]).await;
    expect_closed(&mut stream).await;

    // A packet that says it has 200 MB ends the connection before a byte of them.
    let mut stream = listener.raw("big", None).await;
    stream
        .write_all(&[0x30, 0x80, 0x80, 0x80, 0x60])
        .await
        .unwrap();
    expect_closed(&mut stream).await;

    // Silence beyond one and a half keep-alives.
    let mut stream = listener.dial().await;
    stream
        .write_all(&connect_packet("k", None, 1))
        .await
        .unwrap();
    expect(&mut stream, &[0x20, 2, 0, 0]).await;
    let start = Instant::now();
    expect_closed(&mut stream).await;
    assert!(start.elapsed() > Duration::from_millis(1400));

    // The same client id again ends the first connection.
    let mut first = listener.raw("twin", None).await;
    let second = listener.raw("twin", None).await;
    expect_closed(&mut first).await;

    // One more than the limit of four.
    let mut open = vec![second];
    for n in 0..3 {
        open.push(listener.raw(&format!("n{n}"), None).await);
    }
    let mut fifth = listener.dial().await;
    expect_closed(&mut fifth).await;
    drop(open);
    listener.stop().await;
}

#[tokio::test]
async fn subscribing_is_refused_and_pings_are_answered() {
    let (_engine, out) = Engine::prompt();
    let listener = start(vec![bin("bin-1", "ingest")], &[], out).await;
    let port = listener.address.port();
    let mut options = MqttOptions::new("sub", "127.0.0.1", port);
    options.set_clean_session(false);
    let (client, mut events) = AsyncClient::new(options, 10);
    client.subscribe("#", QoS::AtLeastOnce).await.unwrap();
    let mut present = None;
    let refused = loop {
        match events.poll().await.unwrap() {
            Event::Incoming(Packet::ConnAck(ack)) => present = Some(ack.session_present),
            Event::Incoming(Packet::SubAck(ack)) => break ack,
            _ => {}
        }
    };
    assert_eq!(present, Some(true), "a lasting session is said to last");
    assert_eq!(
        refused.return_codes,
        [rumqttc::SubscribeReasonCode::Failure]
    );
    let mut stream = listener.raw("p", None).await;
    stream
        .write_all(&[0xc0, 0, 0xa2, 5, 0, 7, 0, 1, b'#'])
        .await
        .unwrap();
    expect(&mut stream, &[0xd0, 0, 0xb0, 2, 0, 7]).await;
    listener.stop().await;
}

#[tokio::test]
async fn a_stop_answers_what_becomes_durable_in_time() {
    let (engine, out) = Engine::held();
    let listener = start(vec![bin("bin-1", "ingest")], &[], out).await;
    let mut stream = listener.raw("c", None).await;
    let packet = publish_packet("bins/bin-1", fill(1, 1).as_bytes(), 1);
    stream.write_all(&packet).await.unwrap();
    eventually("it arrived", || engine.waiting() == 1).await;
    listener.stop.cancel();
    engine.commit();
    expect(&mut stream, &[0x40, 2, 0, 1]).await;
    listener.stop().await;
}
