//! Event kinds: the product's own stable names.
//!
//! National and local codes (GB/T 30428 classes and what cities made of them) live in platform
//! profiles, because they differ from city to city; these slugs never change.

use serde::{Deserialize, Serialize};

/// How much a kind matters when nothing else is configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Kept and counted; nobody has to hurry.
    Info,
    /// Someone at the station should look today.
    Minor,
    /// Needs a visit.
    Major,
    /// Danger to people or a large loss.
    Critical,
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $variant:ident = $slug:literal, $severity:ident, $zh:literal;)*) => {
        /// What an alert is about.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        pub enum EventKind {
            $($(#[$doc])* #[serde(rename = $slug)] $variant,)*
        }

        impl EventKind {
            /// Every kind, in the order of this file.
            pub const ALL: &'static [EventKind] = &[$(EventKind::$variant,)*];

            /// The stable name used in configuration, topics and messages.
            pub const fn slug(self) -> &'static str {
                match self { $(EventKind::$variant => $slug,)* }
            }

            /// The severity when neither rule nor profile says otherwise.
            pub const fn default_severity(self) -> Severity {
                match self { $(EventKind::$variant => Severity::$severity,)* }
            }

            /// The name that station staff see.
            pub const fn name_zh(self) -> &'static str {
                match self { $(EventKind::$variant => $zh,)* }
            }
        }
    };
}

kinds! {
    /// Rubbish that somebody left where it does not belong.
    IllegalDumping = "illegal_dumping", Major, "乱倒垃圾";
    /// Rubbish lying in the open, no actor known.
    GarbageExposed = "garbage_exposed", Minor, "暴露垃圾";
    /// A bin that is full.
    BinOverflow = "bin_overflow", Minor, "垃圾箱满溢";
    /// A bin that burns or is about to.
    BinFire = "bin_fire", Critical, "垃圾箱起火";
    /// A bin that has been knocked over.
    BinTilt = "bin_tilt", Minor, "垃圾箱倾倒";
    /// A sensor whose battery runs out.
    BatteryLow = "battery_low", Info, "设备电量低";
    /// A shop's goods or tables beyond its line.
    ShopOverflow = "shop_overflow", Minor, "店外经营";
    /// A mobile vendor outside permitted place or time.
    StreetVendor = "street_vendor", Minor, "无照经营游商";
    /// What a stall left behind after its hours, goods or litter.
    StallLeftover = "stall_leftover", Minor, "收摊未清场";
    /// Anything else that occupies the road.
    RoadOccupation = "road_occupation", Minor, "占道经营";
    /// Public green taken over.
    GreenEncroachment = "green_encroachment", Minor, "侵占公共绿地";
    /// Public space taken over.
    PublicSpaceEncroachment = "public_space_encroachment", Minor, "侵占公共空间";
    /// A motor vehicle where none may stand.
    VehicleParking = "vehicle_parking", Minor, "机动车乱停放";
    /// A bicycle, tricycle or scooter where none may stand.
    NonmotorParking = "nonmotor_parking", Minor, "非机动车乱停放";
    /// Building without a permit.
    IllegalStructure = "illegal_structure", Major, "私搭乱建";
    /// Piled goods or building material.
    MaterialPile = "material_pile", Minor, "乱堆物堆料";
    /// Wires strung across public space.
    MessyWiring = "messy_wiring", Minor, "乱拉乱接";
    /// Posters and graffiti.
    Flyposting = "flyposting", Minor, "非法小广告";
    /// Water that runs when nobody uses any.
    WaterLeak = "water_leak", Major, "疑似漏水";
    /// A flow so large that a pipe must have burst.
    BurstSuspected = "burst_suspected", Critical, "疑似爆管";
    /// A meter that runs backwards or jumps.
    MeterFault = "meter_fault", Minor, "水表异常";
    /// A device that stopped reporting.
    DeviceSilent = "device_silent", Minor, "设备离线";
    /// A device that sends what cannot be believed: garbage, floods, another's name.
    DeviceQuarantined = "device_quarantined", Minor, "设备异常隔离";
    /// A camera without usable pictures.
    CameraFault = "camera_fault", Minor, "摄像头故障";
    /// The gateway's own picture analysis stopped.
    VisionFault = "vision_fault", Major, "视频分析故障";
    /// Something that the gateway is told by files must be seen to: permits that cannot be read,
    /// a table of holidays that ends.
    ConfigFault = "config_fault", Minor, "网关配置待处理";
    /// The gateway's own storage is full or failing.
    StorageFault = "storage_fault", Critical, "网关存储故障";
}

impl core::fmt::Display for EventKind {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.slug())
    }
}

impl core::str::FromStr for EventKind {
    type Err = UnknownKind;

    fn from_str(s: &str) -> Result<Self, UnknownKind> {
        EventKind::ALL
            .iter()
            .copied()
            .find(|k| k.slug() == s)
            .ok_or(UnknownKind)
    }
}

/// The string is no event kind's slug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownKind;

impl core::fmt::Display for UnknownKind {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("unknown event kind")
    }
}

impl core::error::Error for UnknownKind {}
