//! The lines' names, and what to do when one fails, in both languages.

use crate::lang::Lang;

/// What a line of the self-test looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Check {
    /// Version of the register map.
    Map,
    /// Serial number.
    Serial,
    /// Bin or meter.
    Kind,
    /// Hardware id.
    Hardware,
    /// Version and counter of the image.
    Firmware,
    /// The values that were provisioned.
    Setup,
    /// Status bits.
    Status,
    /// Supply voltage.
    Supply,
    /// Stack never used.
    Stack,
    /// Distance sensor.
    Distance,
    /// Fill level.
    Fill,
    /// Accelerometer.
    Tilt,
    /// Thermometer.
    Temperature,
    /// Battery voltage.
    Battery,
    /// Lid contact.
    Lid,
    /// Totaliser.
    Volume,
    /// Flow.
    Flow,
    /// Leak, burst, reverse.
    Flags,
}

impl Check {
    /// Every line.
    pub const ALL: [Check; 18] = [
        Check::Map,
        Check::Serial,
        Check::Kind,
        Check::Hardware,
        Check::Firmware,
        Check::Setup,
        Check::Status,
        Check::Supply,
        Check::Stack,
        Check::Distance,
        Check::Fill,
        Check::Tilt,
        Check::Temperature,
        Check::Battery,
        Check::Lid,
        Check::Volume,
        Check::Flow,
        Check::Flags,
    ];

    /// Its name in logs and JSON.
    pub fn slug(self) -> &'static str {
        self.row().0
    }

    /// Its name on the screen.
    pub fn name(self, lang: Lang) -> &'static str {
        let (_, en, zh, ..) = self.row();
        lang.of(en, zh)
    }

    /// What to do when it fails, or needs a look.
    pub fn advice(self, lang: Lang) -> &'static str {
        let (.., en, zh) = self.row();
        lang.of(en, zh)
    }

    fn row(
        self,
    ) -> (
        &'static str,
        &'static str,
        &'static str,
        &'static str,
        &'static str,
    ) {
        match self {
            Check::Map => (
                "map",
                "register map",
                "寄存器表版本",
                "The image and this tool are of different generations: take an image and a tool of one release.",
                "镜像与工具版本不匹配：请使用同一发布版的镜像和工具。",
            ),
            Check::Serial => (
                "serial",
                "serial number",
                "序列号",
                "Another node answers on this unit id, or the identity was not taken: leave only this board on the bus, press RESET, test again.",
                "可能是总线上另一台同单元号的设备在应答，或身份页未生效：只留本板，按 RESET 后重测。",
            ),
            Check::Kind => (
                "kind",
                "kind",
                "类型",
                "The image is another product's, or another node answers: leave only this board on the bus.",
                "镜像属于另一种产品，或是另一台设备在应答：总线上只留本板。",
            ),
            Check::Hardware => (
                "hardware",
                "hardware",
                "硬件",
                "The image is for another board, or another node answers: leave only this board on the bus.",
                "镜像属于另一种板卡，或是另一台设备在应答：总线上只留本板。",
            ),
            Check::Firmware => (
                "firmware",
                "firmware",
                "固件版本",
                "The old image still runs: put BOOT0 back to 0, press RESET, test again.",
                "旧镜像仍在运行：把 BOOT0 拨回 0，按 RESET 后重测。",
            ),
            Check::Setup => (
                "setup",
                "set-up",
                "出厂设置",
                "The node kept an older set-up of its own: flash it once more with --fresh.",
                "节点保留了旧设置：加 --fresh 重新烧录。",
            ),
            Check::Status => (
                "status",
                "status",
                "状态",
                "storage: its flash cannot be written, try another board. set-up: flash once more with --fresh. bare: the identity page is damaged, flash again. watchdog: press RESET and test again.",
                "storage：闪存写不进去，换板；set-up：加 --fresh 重烧；bare：身份页损坏，重烧；watchdog：按 RESET 后重测。",
            ),
            Check::Supply => (
                "supply",
                "supply",
                "供电电压",
                "Measure 3.3 V at the board's 3V3 pin; below 3.0 V the adapter's regulator is too weak. A dash means that this board does not measure it.",
                "用万用表量板上 3V3 应为 3.3 V；低于 3.0 V 说明供电不足。显示“—”表示本板不测量此项。",
            ),
            Check::Stack => (
                "stack",
                "stack left",
                "剩余栈",
                "The image needs more memory than this board has: report it, with the image's version.",
                "镜像内存不足：请连同镜像版本号上报。",
            ),
            Check::Distance => (
                "distance",
                "distance",
                "距离",
                "missing: sensor plugged in? its TX on PA3, 5 V and ground? too near, no echo, out of range: point it at a flat surface nearer than the bin's floor, 0.3 to 1 m away, and test again. stuck: replace the sensor.",
                "missing：传感器是否插好、TX 接 PA3、有 5 V 和地；too near / no echo / out of range：对准 0.3–1 m 处的平面（须近于桶底）重测；stuck：更换传感器。",
            ),
            Check::Fill => (
                "fill",
                "fill level",
                "满溢度",
                "It follows from distance and height: see the line above, then the height that was given.",
                "由距离和桶高计算：先处理上一行，再核对桶高。",
            ),
            Check::Tilt => (
                "tilt",
                "tilt",
                "倾角",
                "missing, starting: if an accelerometer is fitted, look at SDA (PB7), SCL (PB6), 3.3 V; if none is, all is well.",
                "missing、starting：若装有加速度计，检查 SDA(PB7)、SCL(PB6)、3.3 V；未装则正常。",
            ),
            Check::Temperature => (
                "temperature",
                "temperature",
                "温度",
                "missing, starting: if a thermometer is fitted, look at SDA (PB7), SCL (PB6), 3.3 V; if none is, all is well. Outside the range: let the board cool down; if it stays, replace the sensor.",
                "missing、starting：若装有温度传感器，检查 SDA(PB7)、SCL(PB6)、3.3 V；未装则正常。超范围：冷却后重测，仍超则更换。",
            ),
            Check::Battery => (
                "battery",
                "battery",
                "电池",
                "A dash: this board measures no battery. Low: charge or replace it.",
                "“—”：本板不测电池。偏低：充电或更换。",
            ),
            Check::Lid => (
                "lid",
                "lid",
                "桶盖",
                "A dash: no contact is fitted. If one is, look at its wires and move the lid.",
                "“—”：未装触点。若已装，检查接线并开合桶盖。",
            ),
            Check::Volume => (
                "volume",
                "volume",
                "累计水量",
                "`missing`: the stored total was lost, or cannot be stored (see status). Write the dial's reading (holding registers 36 and 37), or flash once more with --fresh.",
                "“missing”：累计值丢失或无法保存（见状态）。写入表盘读数（保持寄存器 36、37），或加 --fresh 重新刷写。",
            ),
            Check::Flow => (
                "flow",
                "flow",
                "流量",
                "`missing`: as the volume. Flow on a bench means a contact that bounces or hums: look at its wires, keep them away from mains.",
                "“missing”：同累计水量。台架上出现流量说明触点抖动或受干扰：检查接线并远离市电。",
            ),
            Check::Flags => (
                "flags",
                "flags",
                "标志",
                "1 leak, 2 burst, 4 backwards: on a bench a contact is closed or swapped; look at its wires.",
                "1 漏水、2 爆管、4 反流：台架上说明触点短接或接反，检查接线。",
            ),
        }
    }
}
