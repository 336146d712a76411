use std::process::Stdio;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    process::Command,
    task::JoinHandle,
};

use super::*;
use crate::{
    config::{BrokerAddr, Credentials, Tls},
    source::mqtt::testing::{Engine, Mosquitto, bin, bin_with_rate, eventually},
};

const MAX_PAYLOAD: usize = 8192;

struct Running {
    counters: Arc<SourceCounters>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

fn broker(port: u16) -> config::Broker {
    config::Broker {
        name: "field".into(),
        addr: BrokerAddr {
            host: "127.0.0.1".to_owned(),
            port,
            tls: None,
            credentials: None,
            client_id: "gateway-1".to_owned(),
        },
        max_payload: MAX_PAYLOAD,
    }
}

fn start(broker: config::Broker, devices: Vec<Arc<Device>>, out: mpsc::Sender<Arrival>) -> Running {
    let counters = Arc::new(SourceCounters::default());
    let stop = CancellationToken::new();
    let task = tokio::spawn(run(
        broker,
        devices,
        Pictures::default(),
        out,
        Clock::start(),
        counters.clone(),
        stop.clone(),
    ));
    Running {
        counters,
        stop,
        task,
    }
}

impl Running {
    async fn stop(self) {
        self.stop.cancel();
        tokio::time::timeout(Duration::from_secs(5), self.task)
            .await
            .expect("the client does not stop")
            .unwrap();
    }
}

/// Publishes until the subscription stands: what comes before is nobody's.
async fn ready(mosquitto: &Mosquitto, engine: &Engine, device: &str) {
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    while engine.fills(device).is_empty() {
        assert!(
            std::time::Instant::now() < deadline,
            "nothing comes through"
        );
        let topic = format!("bins/{device}");
        mosquitto
            .publish(&["-q", "1", "-t", &topic, "-m", r#"{"fill":0}"#])
            .await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn fill(seq: u64, fill: u64) -> String {
    format!(r#"{{"seq":{seq},"fill":{fill}}}"#)
}

const OPEN: &str = "allow_anonymous true";

/// Publishes `lines` on one connection, in order.
async fn publish_lines(port: u16, topic: &str, lines: &[String]) {
    let mut child = Command::new("mosquitto_pub")
        .args(["-h", "127.0.0.1", "-q", "1", "-l", "-t", topic])
        .args(["-p", &port.to_string()])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin
        .write_all((lines.join("\n") + "\n").as_bytes())
        .await
        .unwrap();
    drop(stdin);
    assert!(child.wait().await.unwrap().success());
}

#[tokio::test]
async fn readings_come_from_a_real_broker_and_bad_ones_disturb_nobody() {
    let mosquitto = Mosquitto::start(OPEN, &[]).await;
    let (engine, out) = Engine::prompt();
    // More topics than fit into one SUBSCRIBE.
    let mut devices: Vec<_> = (0..100).map(|n| bin(&format!("d{n}"), "field")).collect();
    devices.extend([bin("bin-1", "field"), bin("bin-2", "field")]);
    let client = start(broker(mosquitto.port), devices, out);
    ready(&mosquitto, &engine, "bin-1").await;
    ready(&mosquitto, &engine, "d99").await;

    let large = mosquitto.dir().join("large");
    std::fs::write(&large, vec![b'x'; 100_000]).unwrap();
    let invalid = mosquitto.dir().join("invalid");
    std::fs::write(&invalid, b"{\"fill\":1,\"x\":\"\xff\"}").unwrap();
    let deep = format!("{}{}", "[".repeat(3000), "]".repeat(3000));
    let bad: [&[&str]; 8] = [
        &["-n"],
        &["-f", large.to_str().unwrap()],
        &["-f", invalid.to_str().unwrap()],
        &["-m", &deep],
        &["-m", r#"{"fill":NaN}"#],
        &["-m", r#"{"fill":[]}"#],
        &["-m", r#"{"id":"bin-2","fill":99}"#],
        &["-r", "-m", "retained garbage"],
    ];
    for args in bad {
        let args = [&["-q", "1", "-t", "bins/bin-1"], args].concat();
        assert!(mosquitto.publish(&args).await);
    }
    eventually("all are refused", || client.counters.refused.get() == 8).await;
    assert_eq!(client.counters.faults.get(), 0, "the connection survives");
    ready(&mosquitto, &engine, "bin-2").await;
    assert_eq!(engine.faults("bin-1").len(), 1);
    assert!(engine.faults("bin-2").is_empty());
    assert_eq!(client.counters.garbage.get(), 7);
    assert_eq!(client.counters.foreign.get(), 1);
    client.stop().await;
}

#[tokio::test]
async fn nothing_acknowledged_is_lost_when_broker_and_gateway_die() {
    let mut mosquitto = Mosquitto::start(OPEN, &[]).await;
    let devices = || vec![bin_with_rate("bin-1", "field", 1000.0)];
    let (engine, out) = Engine::held();
    let client = start(broker(mosquitto.port), devices(), out);
    ready(&mosquitto, &engine, "bin-1").await;
    engine.be_prompt();
    engine.commit();
    publish_lines(
        mosquitto.port,
        "bins/bin-1",
        &(1..=50).map(|n| fill(n, n)).collect::<Vec<_>>(),
    )
    .await;
    eventually("fifty arrived", || engine.fills("bin-1").contains(&50.0)).await;

    // The gateway dies: its task is gone without a word, the engine's work with it.
    client.task.abort();
    let _ = client.task.await;
    publish_lines(
        mosquitto.port,
        "bins/bin-1",
        &(51..=70).map(|n| fill(n, n)).collect::<Vec<_>>(),
    )
    .await;
    mosquitto.save().await;
    mosquitto.kill();

    // A new gateway that stores nothing yet sees them, and dies too.
    let (unstored, out) = Engine::held();
    let client = start(broker(mosquitto.port), devices(), out);
    mosquitto.restart().await;
    eventually("what waited is delivered", || {
        unstored.fills("bin-1").contains(&70.0)
    })
    .await;
    client.task.abort();
    let _ = client.task.await;

    // The third one gets all of them again, once each, in order.
    let (engine, out) = Engine::prompt();
    let client = start(broker(mosquitto.port), devices(), out);
    eventually("they are delivered again", || {
        engine.fills("bin-1").contains(&70.0)
    })
    .await;
    let want: Vec<f64> = (51..=70).map(f64::from).collect();
    assert_eq!(engine.fills("bin-1"), want);
    assert!(
        engine.faults("bin-1").is_empty(),
        "{:?}",
        engine.faults("bin-1")
    );
    client.stop().await;
}

#[tokio::test]
async fn a_restarted_broker_is_found_again_and_repeats_are_no_replays() {
    let mut mosquitto = Mosquitto::start(OPEN, &[]).await;
    let (engine, out) = Engine::held();
    let devices = vec![bin_with_rate("bin-1", "field", 1000.0)];
    let client = start(broker(mosquitto.port), devices, out);
    ready(&mosquitto, &engine, "bin-1").await;
    engine.commit();
    let lines: Vec<_> = (1..=20).map(|n| fill(n, n)).collect();
    publish_lines(mosquitto.port, "bins/bin-1", &lines).await;
    eventually("all wait for the disk", || engine.waiting() == 20).await;
    mosquitto.save().await;
    mosquitto.kill();
    eventually("the loss is seen", || client.counters.faults.get() > 0).await;
    // They reach the disk while nobody can be told.
    engine.commit();
    engine.be_prompt();
    mosquitto.restart().await;
    eventually("the broker's copies are known", || {
        client.counters.repeated.get() == 20
    })
    .await;
    assert!(engine.faults("bin-1").is_empty());
    let taken = engine.fills("bin-1");
    assert_eq!(taken.iter().filter(|f| **f > 0.0).count(), 20);
    // The session lives on.
    publish_lines(mosquitto.port, "bins/bin-1", &[fill(21, 21)]).await;
    eventually("it goes on", || engine.fills("bin-1").contains(&21.0)).await;
    assert!(client.counters.faults.get() < 10, "a reconnect storm");
    client.stop().await;
}

#[tokio::test]
async fn a_replay_by_somebody_else_is_refused() {
    let mosquitto = Mosquitto::start(OPEN, &[]).await;
    let (engine, out) = Engine::prompt();
    let client = start(broker(mosquitto.port), vec![bin("bin-1", "field")], out);
    ready(&mosquitto, &engine, "bin-1").await;
    let message = fill(5, 55);
    let args = ["-q", "1", "-t", "bins/bin-1", "-m", &message];
    for _ in 0..3 {
        assert!(mosquitto.publish(&args).await);
    }
    eventually("two are refused", || client.counters.replayed.get() == 2).await;
    assert_eq!(engine.faults("bin-1").len(), 1);
    client.stop().await;
}

#[tokio::test]
async fn wrong_passwords_and_acls_are_named_and_do_not_storm() {
    let mosquitto = Mosquitto::start(
        "allow_anonymous false\npassword_file DIR/passwords\nacl_file DIR/acl",
        &[
            ("passwords", ""),
            (
                "acl",
                "user gateway\ntopic read bins/bin-1\nuser device\ntopic write bins/#\n",
            ),
        ],
    )
    .await;
    let passwords = mosquitto.dir().join("passwords");
    for (user, password) in [("gateway", "secret"), ("device", "secret")] {
        let status = std::process::Command::new("mosquitto_passwd")
            .args(["-b", passwords.to_str().unwrap(), user, password])
            .status()
            .unwrap();
        assert!(status.success());
    }
    let mut mosquitto = mosquitto;
    mosquitto.kill();
    mosquitto.restart().await;

    let with_password = |password: &str| {
        let mut broker = broker(mosquitto.port);
        broker.addr.credentials = Some(Credentials {
            username: "gateway".to_owned(),
            password: password.to_owned(),
        });
        broker
    };
    let devices = || vec![bin("bin-1", "field"), bin("bin-2", "field")];
    let (_engine, out) = Engine::prompt();
    let client = start(with_password("wrong"), devices(), out);
    eventually("the refusal is counted", || {
        client.counters.faults.get() >= 2
    })
    .await;
    assert!(client.counters.faults.get() <= 4, "a reconnect storm");
    client.stop().await;

    let (engine, out) = Engine::prompt();
    let client = start(with_password("secret"), devices(), out);
    let publish = async |topic: &str| {
        let args = [
            "-u",
            "device",
            "-P",
            "secret",
            "-q",
            "1",
            "-t",
            topic,
            "-m",
            r#"{"fill":3}"#,
        ];
        mosquitto.publish(&args).await
    };
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    while engine.fills("bin-1").is_empty() {
        assert!(std::time::Instant::now() < deadline);
        publish("bins/bin-2").await;
        publish("bins/bin-1").await;
    }
    assert!(engine.fills("bin-2").is_empty(), "the ACL hides it");
    client.stop().await;
}

#[tokio::test]
async fn tls_works_with_its_own_ca_and_not_without() {
    let ca_key = rcgen::KeyPair::generate().unwrap();
    let mut ca = rcgen::CertificateParams::new(Vec::new()).unwrap();
    ca.distinguished_name
        .push(rcgen::DnType::CommonName, "test CA");
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca_cert = ca.self_signed(&ca_key).unwrap();
    let issuer = rcgen::Issuer::new(ca, &ca_key);
    let key = rcgen::KeyPair::generate().unwrap();
    let server = rcgen::CertificateParams::new(vec!["localhost".to_owned()])
        .unwrap()
        .signed_by(&key, &issuer)
        .unwrap();
    let mosquitto = Mosquitto::start(
        "cafile DIR/ca.pem\ncertfile DIR/server.pem\nkeyfile DIR/key.pem\nallow_anonymous true",
        &[
            ("ca.pem", &ca_cert.pem()),
            ("server.pem", &server.pem()),
            ("key.pem", &key.serialize_pem()),
        ],
    )
    .await;
    let ca_file = mosquitto.dir().join("ca.pem");
    let with = |host: &str, ca_file| {
        let mut broker = broker(mosquitto.port);
        broker.addr.host = host.to_owned();
        broker.addr.tls = Some(Tls {
            ca_file,
            client: None,
        });
        broker
    };
    // The system's CAs do not know it; the name is wrong; the file is missing.
    for bad in [
        with("localhost", None),
        with("127.0.0.1", Some(ca_file.clone())),
        with("localhost", Some("missing.pem".into())),
    ] {
        let (_engine, out) = Engine::prompt();
        let client = start(bad, vec![bin("bin-1", "field")], out);
        eventually("it is refused", || client.counters.faults.get() >= 1).await;
        client.stop().await;
    }
    let (engine, out) = Engine::prompt();
    let good = with("localhost", Some(ca_file.clone()));
    let client = start(good, vec![bin("bin-1", "field")], out);
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    while engine.fills("bin-1").is_empty() {
        assert!(std::time::Instant::now() < deadline);
        Command::new("mosquitto_pub")
            .args(["-h", "localhost", "-p", &mosquitto.port.to_string()])
            .args(["--cafile", ca_file.to_str().unwrap()])
            .args(["-q", "1", "-t", "bins/bin-1", "-m", r#"{"fill":3}"#])
            .status()
            .await
            .unwrap();
    }
    assert_eq!(client.counters.faults.get(), 0);
    client.stop().await;
}

#[tokio::test]
async fn an_oversize_retained_message_costs_its_topic_and_nothing_else() {
    let mosquitto = Mosquitto::start(OPEN, &[]).await;
    let (engine, out) = Engine::prompt();
    let large = mosquitto.dir().join("large");
    std::fs::write(&large, vec![b'x'; session::MAX_PACKET + 1]).unwrap();
    let args = [
        "-r",
        "-q",
        "1",
        "-t",
        "bins/bin-2",
        "-f",
        large.to_str().unwrap(),
    ];
    assert!(mosquitto.publish(&args).await);
    let devices = ["bin-1", "bin-2", "bin-3"].map(|id| bin(id, "field"));
    let client = start(broker(mosquitto.port), devices.to_vec(), out);
    eventually("the topic is found", || engine.faults("bin-2").len() == 1).await;
    assert!(engine.faults("bin-2")[0].contains("bins/bin-2"));
    ready(&mosquitto, &engine, "bin-1").await;
    ready(&mosquitto, &engine, "bin-3").await;
    assert!(client.counters.faults.get() <= 4, "it spins");
    client.stop().await;
}

#[tokio::test]
async fn a_broker_that_says_nothing_is_given_up() {
    // Accepts and stays silent: no peer does that on purpose.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = silent.local_addr().unwrap().port();
    let (_engine, out) = Engine::prompt();
    let client = start(broker(port), vec![bin("bin-1", "field")], out);
    let (mut stream, _) = silent.accept().await.unwrap();
    let mut hello = [0; 1];
    stream.read_exact(&mut hello).await.unwrap();
    assert_eq!(hello, [0x10]);
    // Stopping does not wait for it.
    client.stop().await;
}
