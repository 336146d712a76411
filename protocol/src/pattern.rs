//! What the strings of messages look like, as ECMA 262 regular expressions for JSON Schema.

/// CloudEvents 1.0.
pub const SPECVERSION: &str = r"^1\.0$";
/// RFC 9562 §5.7, lower case.
pub const UUID_V7: &str = r"^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$";
/// RFC 3339 in UTC.
pub const TIMESTAMP: &str =
    r"^[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-6][0-9](\.[0-9]{1,9})?Z$";
/// A day of the calendar.
pub const DATE: &str = r"^[0-9]{4}-[01][0-9]-[0-3][0-9]$";
/// `/stations/<station id>`
pub const STATION_SOURCE: &str = r"^/stations/.+$";
/// The only content type of `data`.
pub const JSON: &str = r"^application/json$";
/// Lower-case hex.
pub const SHA256: &str = r"^[0-9a-f]{64}$";
/// The first 16 hex digits of a SHA-256.
pub const MODEL_HASH: &str = r"^[0-9a-f]{16}$";
/// Unit grid: 6 division + 3 street + 3 community + 3 sequence.
pub const UNIT_GRID: &str = r"^[0-9]{15}$";
/// Coordinate systems that a platform profile may ask for.
pub const CRS: &str = r"^(wgs84|gcj02|epsg3857|grid)$";
/// Lanes whose records can be dropped.
pub const GAP_CLASS: &str = r"^(alert|gap|telemetry|unknown)$";
/// A message's id or a picture's hash.
pub const RECEIPT_ID: &str = r"^([0-9a-f]{64}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})$";
/// A start of a machine: the kernel's boot id.
pub const BOOT_ID: &str = r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$";
/// What a platform calls a verdict or a command: printable ASCII.
pub const PLATFORM_ID: &str = r"^[!-~]{1,64}$";
/// Words for people, on one line.
pub const TEXT: &str = r"^[^\u0000-\u001f\u007f-\u009f]*$";
/// A whole number in a string, for numbers beyond 2⁵³.
pub const DECIMAL: &str = r"^[0-9]{1,20}$";
/// Ed25519 signature in base64url without padding.
pub const SIGNATURE: &str = r"^[A-Za-z0-9_-]{86}$";
