"""Texts of the map.

Not the choice of a language (the package).
"""

# key -> (English, Chinese).
TEXTS: dict[str, tuple[str, str]] = {
    "map.title": ("Poles", "灯杆"),
    "map.label": (
        "Map of poles. Arrow keys move it, plus and minus zoom; the list beside it reaches all.",
        "灯杆地图。方向键移动，加减键缩放；旁边的列表可以选中每一根灯杆。",
    ),
    "map.online_rate": ("Online", "在线率"),
    "map.lit_rate": ("Lit", "亮灯率"),
    "map.online_of": ("nodes heard", "节点在线"),
    "map.lit_of": ("lamps lit", "灯具点亮"),
    "map.search": ("Find a pole by its code", "按编号查找灯杆"),
    "map.area": ("Area", "区域"),
    "map.states": ("State", "状态"),
    "map.attention": ("Needs a look", "需要关注"),
    "map.results": ("Found", "查找结果"),
    "map.loading": ("Loading poles…", "正在加载灯杆…"),
    "map.failed": ("The poles could not be loaded.", "灯杆加载失败。"),
    "map.retry": ("Try again", "重试"),
    "map.empty": ("No poles yet", "还没有灯杆"),
    "map.empty_hint": (
        "Poles appear here as soon as they are imported. Try it with ten of them on this machine:",
        "灯杆导入后会显示在这里。可以先在本机用十根灯杆试一试：",
    ),
    "map.fit": ("Show all", "显示全部"),
    "map.details": ("Open pole", "查看灯杆"),
    "map.close": ("Close", "关闭"),
    "status.lit": ("Lit", "亮灯"),
    "status.dark": ("Dark", "熄灯"),
    "status.fault": ("Lamp fault", "灯具故障"),
    "status.silent": ("Silent", "失联"),
    "status.offline": ("Offline", "离线"),
    "status.waiting": ("Not heard yet", "等待上线"),
    "status.no_node": ("No node", "无节点"),
}  # fmt: skip
