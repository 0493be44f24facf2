"""Objects and resources of the node link: ids, types, operations, units, names of metrics.

Each entry agrees with the registry definition in nodelink/objects/<id>.xml; a test compares them.
The node does not import this table (it would cost heap): its object files carry their own ids, and
a test holds those against this table too.
"""

# Types of OMA LwM2M TS Core 1.1, Appendix C.
STRING = "String"
INTEGER = "Integer"
FLOAT = "Float"
BOOLEAN = "Boolean"
OPAQUE = "Opaque"
TIME = "Time"
OBJLNK = "Objlnk"
NONE = ""

# object id -> (name, {resource id: (name, type, operations, unit, metric or None)})
# A metric names the series that a numeric resource feeds above the gateway; its suffix is its unit.
OBJECTS: dict[int, tuple[str, dict[int, tuple[str, str, str, str, str | None]]]] = {
    0: (
        "LWM2M Security",
        {
            0: ("LWM2M Server URI", STRING, "", "", None),
            1: ("Bootstrap-Server", BOOLEAN, "", "", None),
            2: ("Security Mode", INTEGER, "", "", None),
            3: ("Public Key or Identity", OPAQUE, "", "", None),
            4: ("Server Public Key", OPAQUE, "", "", None),
            5: ("Secret Key", OPAQUE, "", "", None),
            10: ("Short Server ID", INTEGER, "", "", None),
            17: ("OSCORE Security Mode", OBJLNK, "", "", None),
        },
    ),
    1: (
        "LwM2M Server",
        {
            0: ("Short Server ID", INTEGER, "R", "", None),
            1: ("Lifetime", INTEGER, "RW", "s", None),
            6: ("Notification Storing When Disabled or Offline", BOOLEAN, "RW", "", None),
            7: ("Binding", STRING, "RW", "", None),
            8: ("Registration Update Trigger", NONE, "E", "", None),
            9: ("Bootstrap-Request Trigger", NONE, "E", "", None),
            23: ("Mute Send", BOOLEAN, "RW", "", None),
        },
    ),
    3: (
        "Device",
        {
            0: ("Manufacturer", STRING, "R", "", None),
            1: ("Model Number", STRING, "R", "", None),
            2: ("Serial Number", STRING, "R", "", None),
            3: ("Firmware Version", STRING, "R", "", None),
            4: ("Reboot", NONE, "E", "", None),
            5: ("Factory Reset", NONE, "E", "", None),
            10: ("Memory Free", INTEGER, "R", "", "node.memory_free_kib"),
            11: ("Error Code", INTEGER, "R", "", None),
            13: ("Current Time", TIME, "RW", "", None),
            16: ("Supported Binding and Modes", STRING, "R", "", None),
            18: ("Hardware Version", STRING, "R", "", None),
        },
    ),
    5: (
        "Firmware Update",
        {
            0: ("Package", OPAQUE, "W", "", None),
            1: ("Package URI", STRING, "RW", "", None),
            2: ("Update", NONE, "E", "", None),
            3: ("State", INTEGER, "R", "", None),
            5: ("Update Result", INTEGER, "R", "", None),
            6: ("PkgName", STRING, "R", "", None),
            7: ("PkgVersion", STRING, "R", "", None),
            9: ("Firmware Update Delivery Method", INTEGER, "R", "", None),
        },
    ),
    21: (
        "LwM2M OSCORE",
        {
            0: ("OSCORE Master Secret", OPAQUE, "", "", None),
            1: ("OSCORE Sender ID", OPAQUE, "", "", None),
            2: ("OSCORE Recipient ID", OPAQUE, "", "", None),
            5: ("OSCORE Master Salt", OPAQUE, "", "", None),
        },
    ),
    3301: ("Illuminance", {5700: ("Sensor Value", FLOAT, "R", "", "air.illuminance_lx")}),
    3303: ("Temperature", {5700: ("Sensor Value", FLOAT, "R", "", "air.temperature_c")}),
    3304: ("Humidity", {5700: ("Sensor Value", FLOAT, "R", "", "air.humidity_percent")}),
    3347: (
        "Push button",
        {
            5500: ("Digital Input State", BOOLEAN, "R", "", None),
            5501: ("Digital Input Counter", INTEGER, "R", "", None),
        },
    ),
    3416: (
        "Outdoor lamp controller",
        {
            1: ("Command", INTEGER, "RW", "/100", None),
            2: ("Command in action", INTEGER, "R", "/100", None),
            3: ("Dimming level", INTEGER, "R", "/100", "lamp.level_percent"),
            4: ("Default dimming level", INTEGER, "RW", "/100", None),
            5: ("Lamp failure", BOOLEAN, "R", "", "lamp.failed"),
            15: ("Lamp operating hours", FLOAT, "R", "h", "lamp.operating_h"),
            18: ("Lamp switch counter", INTEGER, "R", "", "lamp.switch_count"),
            36: ("Nominal Lamp wattage", INTEGER, "RW", "W", None),
            50: ("Manual override start time", TIME, "RW", "", None),
            51: ("Manual override end time", TIME, "RW", "", None),
            52: ("Manual override fade", FLOAT, "RW", "s", None),
            54: ("Manual override active", BOOLEAN, "R", "", "lamp.override_active"),
        },
    ),
    3418: (
        "Electrical monitor",
        {
            1: ("Supply voltage", FLOAT, "R", "V", "supply.voltage_v"),
            2: ("Supply current", FLOAT, "R", "A", "supply.current_a"),
            4: ("Active power", FLOAT, "R", "W", "supply.active_power_w"),
            5: ("Power factor", FLOAT, "R", "", "supply.power_factor"),
            6: ("Cumulated active energy", FLOAT, "R", "Wh", "supply.energy_wh"),
        },
    ),
    3428: (
        "Air quality",
        {
            1: ("PM10", FLOAT, "R", "ug/m3", "air.pm10_ug_m3"),
            3: ("PM2.5", FLOAT, "R", "ug/m3", "air.pm25_ug_m3"),
        },
    ),
    # Private range (26241 to 32768), defined by us.
    26241: (
        "Report",
        {
            0: ("Boot count", INTEGER, "R", "", None),
            1: ("Sequence number", INTEGER, "R", "", None),
            2: ("Dropped reports", INTEGER, "R", "", None),
            3: ("Interval", INTEGER, "RW", "s", None),
            # CBOR array: layout id, then one value for each path of the layout; null for none.
            4: ("Values", OPAQUE, "R", "", None),
            # Paths joined by spaces, e.g. "/3416/0/3 /3418/0/1"; its CRC-32 is the layout id.
            5: ("Layout", STRING, "R", "", None),
            6: ("Layout id", INTEGER, "R", "", None),
            7: ("Reports of the Boot Before", INTEGER, "R", "", None),
        },
    ),
    26242: (
        "Event",
        {
            0: ("Boot count", INTEGER, "R", "", None),
            1: ("Sequence number", INTEGER, "R", "", None),
            2: ("Kind", STRING, "R", "", None),
            3: ("Severity", INTEGER, "R", "", None),
            4: ("Detail", STRING, "R", "", None),
        },
    ),
    26243: (
        "Release",
        {
            0: ("Sequence number", INTEGER, "R", "", None),
            1: ("Slot", STRING, "R", "", None),
            2: ("On trial", BOOLEAN, "R", "", None),
            3: ("Last failure", STRING, "R", "", None),
            # Written, it says that there is a newer trust document to fetch (docs/ota.md).
            4: ("Trust version", INTEGER, "RW", "", None),
        },
    ),
    26244: (
        "Command",
        {
            # Written together with the resource it guards, in one composite or instance write.
            0: ("Deadline", TIME, "W", "", None),
        },
    ),
    26245: (
        "Lighting program",
        {
            # Written together; a name tells this content from any other.
            0: ("Name", STRING, "RW", "", None),
            # One line a rule, firmware/node/lighting/evaluation.py has the syntax.
            1: ("Rules", STRING, "RW", "", None),
            2: ("Latitude", FLOAT, "RW", "lat", None),
            3: ("Longitude", FLOAT, "RW", "lon", None),
            4: ("Offset from UTC", INTEGER, "RW", "s", None),
            5: ("Next change of the offset", TIME, "RW", "", None),
            6: ("Offset after that", INTEGER, "RW", "s", None),
            7: ("Level now", INTEGER, "R", "/100", None),
        },
    ),
    26246: (
        "Emergency call",
        {
            0: ("Active", BOOLEAN, "R", "", None),
            1: ("Accepted", BOOLEAN, "R", "", None),
            2: ("Pressed at", TIME, "R", "", None),
            3: ("Accept", NONE, "E", "", None),
            4: ("Reset", NONE, "E", "", None),
        },
    ),
}
