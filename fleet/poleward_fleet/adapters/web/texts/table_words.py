"""What is wrong with a table, in Chinese beside the English of domain/table_words.py.

Not labels and headings (tables.py).
"""

from poleward_fleet.domain.table_words import TABLE_WORDS

_CHINESE = {
    "line": "第 {number} 行",
    "feature": "第 {number} 个要素",
    "choose_file": "请先选择文件",
    "choose_table": "请选择文件内容的类型",
    "no_table": "没有名为 {text} 的表",
    "no_places": "{table}没有位置信息，请导出为 CSV",
    "areas_everywhere": "只有负责全部区域的人员才能编辑区域",
    "file_size": "文件超过 {most} MiB，请拆分",
    "file_rows": "文件超过 {most} 行，请拆分",
    "no_rows": "文件中没有数据行",
    "no_column": "文件缺少列 {missing}；{table}应有以下列：{columns}",
    "not_text": "文件不是 UTF-8 或 GB 18030 编码的文本",
    "head_line": "首行须列出各列名称，且不得重复",
    "too_many_fields": "{place}有 {fields} 个字段，首行只有 {columns} 个",
    "not_csv": "{place}不是 CSV：{told}",
    "not_json": "文件不是 JSON：{told}",
    "not_features": "文件不是 GeoJSON FeatureCollection",
    "not_wgs84": "坐标须为 WGS84 经纬度，而不是 {system}",
    "no_properties": "{place}没有属性",
    "bad_geometry": "{place}的几何数据无法读取",
    "no_value": "缺少 {column}",
    "not_number": "{column} 的值“{text}”不是数字",
    "not_between": "{column} 的值 {text} 不在 {least} 至 {most} 之间",
    "not_whole": "{column} 的值 {text} 不是整数",
    "twice": "{code} 在{place}已出现",
    "area_digits": "{column} 的值“{text}”不是 12 位数字",
    "area_name": "name 最多 {most} 个可显示字符",
    "no_parent": "上级区域 {area} 不存在，文件中也没有",
    "too_deep": "区域 {area} 的层级超过 {most} 级",
    "pole_code": "code 应为 1 至 64 个可显示 ASCII 字符，不含空格",
    "too_many_pieces": "一根灯杆最多有 {most} 件设备",
    "bad_piece": "设备“{text}”只能由字母、数字、“_”“.”和“-”组成",
}
# key -> (English, Chinese).
TEXTS: dict[str, tuple[str, str]] = {
    f"words.{key}": (english, _CHINESE[key]) for key, english in TABLE_WORDS.items()
}
