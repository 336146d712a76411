//! The clauses of `docs/operator/receiver.md` that a receiver can be tried for, in the order in
//! which they are tried.

use std::fmt;

/// Whether a receiver has to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duty {
    /// Messages are lost, doubled or repeated for ever where it does not hold.
    Must,
    /// Nothing is lost, but it makes trouble.
    Should,
    /// The receiver's choice.
    May,
}

impl Duty {
    /// As the contract writes it.
    pub fn word(self) -> &'static str {
        match self {
            Duty::Must => "MUST",
            Duty::Should => "SHOULD",
            Duty::May => "MAY",
        }
    }
}

macro_rules! clauses {
    ($($variant:ident = $id:literal, $duty:ident, $title:literal, $title_zh:literal, $wants:literal;)*) => {
        /// A clause by its number in the contract.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Clause { $($variant,)* }

        impl Clause {
            /// Every clause that is tried, in this order.
            pub const ALL: &'static [Clause] = &[$(Clause::$variant,)*];

            /// Its number in the contract.
            pub fn id(self) -> &'static str {
                match self { $(Clause::$variant => $id,)* }
            }

            /// Whether a receiver has to.
            pub fn duty(self) -> Duty {
                match self { $(Clause::$variant => Duty::$duty,)* }
            }

            /// What holds if it holds, in a few words.
            pub fn title(self) -> &'static str {
                match self { $(Clause::$variant => $title,)* }
            }

            /// The same in Chinese.
            pub fn title_zh(self) -> &'static str {
                match self { $(Clause::$variant => $title_zh,)* }
            }

            /// What the contract asks for.
            pub fn wants(self) -> &'static str {
                match self { $(Clause::$variant => $wants,)* }
            }
        }
    };
}

clauses! {
    Receipt = "C-1", Must,
        "an alert is stored and its receipt echoes id and hash",
        "告警入库，回执含原 id 与哈希",
        "a receipt with the message's id, the SHA-256 of its bytes and status \"stored\"";
    HashOfBytes = "C-2", Must,
        "the hash is that of the bytes as they came",
        "哈希按收到的原始字节计算",
        "the SHA-256 of the body as received: not of the JSON written anew, and not one that came along with the message";
    Repeat = "C-4", Must,
        "a repeat gets the same answer",
        "重复投递得到相同回执",
        "the same receipt for the same id and bytes, however often they come";
    OtherBytes = "C-5", Must,
        "the same id with other bytes is refused, the first stays",
        "同一 id 不同内容被拒收，原消息保留",
        "status \"refused\" with a reason for other bytes under a known id, and still \"stored\" for the first ones";
    AtOnce = "C-6", Must,
        "copies that come at the same time are one message",
        "同时到达的副本按一条处理",
        "status \"stored\" for every copy, with the same hash";
    AnyOrder = "C-7", Must,
        "messages are taken in any order",
        "消息可乱序到达",
        "status \"stored\" for an update that comes before the raise it belongs to, and for the raise after it";
    Life = "C-10", Must,
        "alerts are taken from raised over updated to cleared",
        "接收告警的发生、更新、解除",
        "status \"stored\" for each of the three messages of one alert";
    Readings = "C-11", Must,
        "forwarded readings are taken",
        "接收转发的读数",
        "status \"stored\" for a message of type cn.wangge.telemetry.v1";
    Gaps = "C-12", Must,
        "gap records are taken",
        "接收缺失记录",
        "status \"stored\" for a message of type cn.wangge.gap.v1";
    Clock = "C-18", Must,
        "clock messages are taken",
        "接收校时消息",
        "status \"stored\" for a message of type cn.wangge.clock.v1, which comes where alerts do";
    Sealed = "C-62", Must,
        "a seal is no reason to refuse",
        "不因签名而拒收",
        "status \"stored\" for an alert whose key is not registered: mark it, but keep it, because the station drops what is refused";
    UnknownKeys = "C-13", Must,
        "keys that are not known are ignored",
        "忽略未知字段",
        "status \"stored\" for a message with keys, in envelope and data, that no schema names yet";
    LargestMessage = "C-14", Must,
        "a message of 3,584 bytes is taken",
        "接收 3584 字节的消息",
        "status \"stored\": it is the largest that a station sends";
    Unreadable = "C-15", Must,
        "what cannot be read is refused with a reason",
        "无法解析的内容被拒收并说明原因",
        "HTTP 200 (MQTT: a message) with a receipt of status \"refused\", the hash of what came, and a reason; never 5xx, and 4xx other than 413 is repeated for ever";
    AgainstSchema = "C-16", Should,
        "what breaks its schema is refused with a reason",
        "不符合 JSON Schema 的消息被拒收并说明原因",
        "a receipt of status \"refused\" with a reason; never 5xx";
    TooLarge = "C-17", Must,
        "a message that is too large is answered, and does no harm",
        "超大消息有应答且不影响后续",
        "HTTP 413, or a receipt of status \"refused\"; the next message is stored as ever";
    Picture = "C-20", Must,
        "a picture is stored under its hash, and again with the same answer",
        "图片按哈希入库，重复投递回执相同",
        "a receipt whose id and sha256 are both the picture's hash, with status \"stored\", each time";
    WrongHash = "C-21", Must,
        "bytes that do not have the hash they came under are refused",
        "与所报哈希不符的图片被拒收",
        "a receipt of status \"refused\"; and an alert that names the hash is then \"evidence_missing\"";
    Missing = "C-22", Must,
        "an alert whose picture is not there waits for it",
        "缺图告警答复 evidence_missing，补图后入库",
        "status \"evidence_missing\" for the alert, then \"stored\" for the picture, then \"stored\" for the same alert";
    LargestPicture = "C-23", Must,
        "a picture of 2 MiB is taken",
        "接收 2 MiB 的图片",
        "status \"stored\": it is the largest that a station sends";
    Pieces = "C-24", May,
        "a picture may come in pieces, and go on where it broke off",
        "图片可分片续传",
        "HTTPS: HEAD and PATCH with Upload-Offset as the contract says; MQTT: a \"partial\" receipt with the offset for each piece and \"stored\" for the last";
    Thumbnail = "C-25", Must,
        "an alert whose small picture is there does not wait for the large one",
        "已有缩略图时告警不等待原图",
        "status \"stored\" for an alert whose `thumbnail` is there, although the picture itself is not";
    Token = "C-30", Must,
        "without the right token nothing is taken",
        "令牌错误时拒绝且不产生任何影响",
        "HTTP 401 or 403 without a token and with a wrong one, and no trace of what came with them";
    Parallel = "C-31", Must,
        "eight messages at once each get their own answer",
        "八个并发请求各得其回执",
        "eight receipts, each for its own message";
    NotRetained = "C-41", Should,
        "receipts are not retained by the broker",
        "回执不得设置保留标志",
        "receipts published with the retain flag off: a retained one greets the station at every connection";
    Digests = "C-9", May,
        "digests are taken",
        "接收统计摘要",
        "status \"stored\" for a message of type cn.wangge.digest.v1";
    Inbox = "C-50", May,
        "verdicts and commands wait in an inbox",
        "研判结果与指令可从收件箱领取",
        "GET <url>/inbox?station=<id>&wait=0 is answered by 204, or by 200 with {\"verdicts\": […], \"commands\": […]}";
    Answers = "C-52", May,
        "a station's answers to verdicts and commands are taken",
        "接收站点对研判结果与指令的答复",
        "status \"stored\" for a message of type cn.wangge.answer.v1";
    Durable = "C-3", Must,
        "what was acknowledged outlives a restart",
        "已回执的内容在重启后仍在",
        "after the receiver was killed and started again: other bytes under an acknowledged id are still refused, the message itself still \"stored\", and a picture that was stored is not asked for again";
}

impl fmt::Display for Clause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}
