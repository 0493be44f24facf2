"""The flashing station: from blank boards to labelled nodes with an identity each.

What is in a flash is made by `flash_image`; here it is brought onto boards and recorded.
"""
