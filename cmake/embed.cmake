# SPDX-License-Identifier: MIT
#
# Writes files as C: cmake -DOUT=FILE "-DFILES=a;b" -P embed.cmake. One array of bytes for each, and
# a table of their names.
set(text "/* Made by cmake/embed.cmake. */\n")
set(table "static const struct page pages[] = {\n")
set(number 0)
foreach(file IN LISTS FILES)
    get_filename_component(name ${file} NAME)
    file(READ ${file} bytes HEX)
    string(REGEX REPLACE "(..)" "0x\\1," bytes "${bytes}")
    string(APPEND text "static const unsigned char page_${number}[] = {${bytes}0};\n")
    string(APPEND table "    {\"${name}\", page_${number}, sizeof page_${number} - 1},\n")
    math(EXPR number "${number} + 1")
endforeach()
file(WRITE ${OUT} "${text}${table}};\n")
