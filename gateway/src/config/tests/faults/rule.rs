//! Rules and profiles.

use super::{bin, meter, one};

#[test]
fn rules() {
    let rule = |lines: &str| bin(&format!("[[device.rule]]\n{lines}"));
    let at = "device[1].rule[1]";
    let key = |k: &str| format!("{at}.{k}");
    one(
        &rule("id = \"overflwo\"\nraise = 80"),
        &key("id"),
        "no rule in profile",
        "did you mean \"overflow\"?",
    );
    one(
        &rule("id = \"overflow\"\nraise = 70"),
        &key("raise"),
        "must be cleared below that, not at 80",
        "clear = 63.0",
    );
    one(
        &rule("id = \"overflow\"\nraise = 70\nclear = 71"),
        &key("clear"),
        "must be cleared below that",
        "",
    );
    one(
        &rule("id = \"overflow\"\nside = \"below\""),
        &key("raise"),
        "must be cleared above that",
        "",
    );
    one(
        &rule("id = \"overflow\"\nraise = 101"),
        &key("raise"),
        "goes from 0 to 100 %",
        "",
    );
    one(
        &rule("id = \"overflow\"\nafter = \"3h\""),
        &key("after"),
        "does nothing in a rule of type threshold",
        "quantity, side",
    );
    one(
        &rule("id = \"overflow\"\ntype = \"rate\""),
        &key("type"),
        "another type",
        "another id",
    );
    let own = "id = \"x\"\nkind = \"bin_fire\"\n";
    one(&rule(own), at, "needs a `type`", "threshold");
    one(
        &rule(&format!("{own}type = \"presence\"")),
        &key("type"),
        "cannot be \"presence\"",
        "threshold",
    );
    one(
        &rule("id = \"x\"\ntype = \"health\""),
        at,
        "needs a `kind`",
        "kind = ",
    );
    one(
        &rule("id = \"x\"\nkind = \"bin_fier\"\ntype = \"health\""),
        &key("kind"),
        "cannot be",
        "did you mean \"bin_fire\"?",
    );
    one(
        &rule(&format!("{own}type = \"absence\"")),
        at,
        "of type absence needs `after`",
        "3h",
    );
    one(
        &rule(&format!(
            "{own}type = \"rate\"\nquantity = \"fill\"\nper_minute = 0\nwindow = \"1m\""
        )),
        &key("per_minute"),
        "always reached",
        "",
    );
    one(
        &rule(&format!("{own}type = \"burst\"\nflow = 0")),
        &key("flow"),
        "more than 0",
        "",
    );
    let night = "type = \"night_flow\"\nmin_flow = 0.1\n";
    one(
        &rule(&format!(
            "{own}{night}from = \"02:00\"\nto = \"05:00\"\nhold = \"4h\""
        )),
        &key("hold"),
        "180 minutes",
        "shorter",
    );
    one(
        &rule(&format!(
            "{own}{night}from = \"02:00\"\nto = \"02:00\"\nhold = \"1h\""
        )),
        &key("to"),
        "ends when it begins",
        "",
    );
    one(
        &rule(&format!(
            "{own}{night}from = \"25:00\"\nto = \"05:00\"\nhold = \"1h\""
        )),
        &key("from"),
        "no time of day",
        "02:00",
    );
    one(
        &rule("id = \"overflow\"\n[[device.rule]]\nid = \"overflow\""),
        "device[1].rule[2].id",
        "rule \"overflow\" is there twice",
        "",
    );
    let text = meter(
        "[[device.rule]]\nid = \"full\"\nkind = \"bin_overflow\"\ntype = \"threshold\"\nquantity = \"fill\"\nraise = 9\nclear = 8",
    );
    one(&text, &key("quantity"), "measures no fill", "flow, volume");
}

#[test]
fn profiles() {
    let profile = |lines: &str| bin(&format!("[profile.x]\n{lines}"));
    one(&profile(""), "profile.x", "neither", "payload = \"wangge\"");
    one(
        &profile("payload = \"wange\""),
        "profile.x.payload",
        "cannot be \"wange\"",
        "did you mean \"wangge\"?",
    );
    one(
        &profile("payload = { json_pointr = {} }"),
        "profile.x.payload.json_pointr",
        "unknown key",
        "json_pointer",
    );
    one(
        &profile(
            "payload = \"wangge\"\n[[profile.x.point]]\nquantity = \"flow\"\nparts = [{ address = 1, format = \"f32\" }]",
        ),
        "profile.x",
        "both",
        "two profiles",
    );
    one(
        &profile(
            "payload = { json_pointer = { values = [{ quantity = \"fill\", pointer = \"a.b\" }] } }",
        ),
        "profile.x.payload.json_pointer.values[1].pointer",
        "no JSON pointer",
        "\"/a/b\"",
    );
    one(
        &profile("payload = { json_pointer = { values = [] } }"),
        "profile.x.payload.json_pointer.values",
        "at least 1",
        "",
    );
    one(
        &bin("[profile.wangge-bin]\npayload = \"wangge\""),
        "profile.wangge-bin",
        "ships with the gateway",
        "another name",
    );
    one(
        &bin("[profile.\"a b\"]\npayload = \"wangge\""),
        "profile.a b",
        "contains ' '",
        "",
    );
    let point = |part: &str| {
        profile(&format!(
            "[[profile.x.point]]\nquantity = \"flow\"\nparts = [{{ {part} }}]"
        ))
    };
    let key = |k: &str| format!("profile.x.point[1].parts[1].{k}");
    one(
        &point("address = 1, format = \"f23\""),
        &key("format"),
        "no register format \"f23\"",
        "",
    );
    one(
        &point("address = 1, format = \"bcd5\""),
        &key("format"),
        "no register format",
        "",
    );
    one(
        &point("address = 1, format = \"bit16\""),
        &key("format"),
        "no register format",
        "",
    );
    one(
        &point("address = 0, base = 1, format = \"u16\""),
        &key("address"),
        "leaves the table",
        "",
    );
    one(
        &point("address = 65535, format = \"u32\""),
        &key("address"),
        "leaves the table",
        "",
    );
    one(
        &point("address = 70000, format = \"u16\""),
        &key("address"),
        "from 0 to 65536",
        "",
    );
    one(
        &point("address = 1, base = 2, format = \"u16\""),
        &key("base"),
        "from 0 to 1",
        "",
    );
    one(
        &point("address = 1, format = \"u16\", order = \"abdc\""),
        &key("order"),
        "cannot be",
        "",
    );
    one(
        &point("address = 1, format = \"u16\", scale = 0"),
        &key("scale"),
        "0",
        "",
    );
}
