"""Texts of the page that imports and exports whole tables.

Not the choice of a language (the package).
"""

# key -> (English, Chinese).
TEXTS: dict[str, tuple[str, str]] = {
    "tables.title": ("Import and export", "导入与导出"),
    "tables.import": ("Import", "导入"),
    "tables.lead": (
        "CSV or GeoJSON. With a bad row nothing is imported; the same file again changes nothing.",
        "支持 CSV 与 GeoJSON；有任何错误行则全部不导入，重复导入同一文件不会产生变化。",
    ),
    "tables.what": ("What the file holds", "文件内容"),
    "tables.file": ("File", "文件"),
    "tables.check": ("Only check", "仅检查"),
    "tables.do": ("Import", "导入"),
    "tables.columns": ("Columns", "列"),
    "tables.areas": ("Areas", "区域"),
    "tables.poles": ("Poles", "灯杆"),
    "tables.equipment": ("Equipment of poles", "灯杆设备"),
    "tables.nodes": ("Nodes", "节点"),
    "tables.gateways": ("Gateways", "网关"),
    "tables.accounts": ("Accounts", "账户"),
    "tables.export": ("Export", "导出"),
    "tables.export_lead": (
        "Everything that you may see, as it is now.",
        "导出您有权查看的全部数据。",
    ),
    "tables.counts": (
        "{rows} rows: {created} new, {updated} changed, {unchanged} as they were, {faults} bad.",
        "共 {rows} 行：新增 {created}，修改 {updated}，未变 {unchanged}，错误 {faults}。",
    ),
    "tables.stored": ("Imported.", "已导入。"),
    "tables.nothing": ("Nothing to do: everything is there just so.", "无需导入：数据均未变化。"),
    "tables.would": ("This import would go through.", "检查通过，可以导入。"),
    "tables.refused": (
        "Nothing is imported. Correct these rows:",
        "未导入任何数据，请更正以下各行：",
    ),
    "tables.ignored": ("Columns without meaning here: {names}.", "未使用的列：{names}。"),
    "tables.place": ("Row", "位置"),
    "tables.why": ("Why it is bad", "原因"),
    "tables.more": (
        "and {n} more; `poleward import` lists them all",
        "另有 {n} 行，命令行 poleward import 可列出全部",
    ),
}  # fmt: skip
