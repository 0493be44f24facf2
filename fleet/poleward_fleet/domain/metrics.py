"""The metrics that nodes report: unit, names for people, digits worth showing.

Not how resources map to metrics; that is between node and gateway.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Metric:
    """How one metric is shown."""

    name: str
    unit: str
    label_en: str
    label_zh: str
    digits: int


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("lamp.level_percent", "%", "Level", "亮度", 0),
        Metric("lamp.failed", "", "Lamp failed", "灯具故障", 0),
        Metric("lamp.operating_h", "h", "Burning hours", "燃点时长", 1),
        Metric("lamp.switch_count", "", "Switch count", "开关次数", 0),
        Metric("lamp.override_active", "", "Override active", "手动控制中", 0),
        Metric("supply.active_power_w", "W", "Power", "有功功率", 1),
        Metric("supply.voltage_v", "V", "Voltage", "电压", 1),
        Metric("supply.current_a", "A", "Current", "电流", 3),
        Metric("supply.power_factor", "", "Power factor", "功率因数", 2),
        Metric("supply.energy_wh", "Wh", "Energy", "电能", 0),
        Metric("air.temperature_c", "°C", "Temperature", "温度", 1),
        Metric("air.humidity_percent", "%", "Humidity", "湿度", 0),
        Metric("air.illuminance_lx", "lx", "Illuminance", "照度", 0),
        Metric("air.pm10_ug_m3", "µg/m³", "PM10", "PM10", 0),
        Metric("air.pm25_ug_m3", "µg/m³", "PM2.5", "PM2.5", 0),
        Metric("node.memory_free_kib", "KiB", "Free memory", "空闲内存", 0),
    )
}


def metric_named(name: str) -> Metric:
    """Return the metric, or a plain stand-in for one that this version does not know."""
    return METRICS.get(name) or Metric(name, "", name, name, 2)
