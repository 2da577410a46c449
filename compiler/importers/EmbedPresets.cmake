# Writes the preset files as rows of a C++ table.
#   cmake -DOUTPUT=Presets.inc "-DFILES=a.json;b.json" -P EmbedPresets.cmake
set(rows "")
foreach(file IN LISTS FILES)
  get_filename_component(name "${file}" NAME_WLE)
  file(READ "${file}" text)
  string(APPEND rows "{\"${name}\", R\"preset(${text})preset\"},\n")
endforeach()
file(WRITE "${OUTPUT}" "${rows}")
