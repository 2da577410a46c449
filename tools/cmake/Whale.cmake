# The few functions that every CMakeLists.txt of the project is written with.

# whale_add_subfolders()
# Adds each direct sub-folder that has a CMakeLists.txt, in alphabetical order.
macro(whale_add_subfolders)
  file(GLOB WHALE_SUBFOLDERS CONFIGURE_DEPENDS
       RELATIVE "${CMAKE_CURRENT_SOURCE_DIR}"
       "${CMAKE_CURRENT_SOURCE_DIR}/*/CMakeLists.txt")
  foreach(entry IN LISTS WHALE_SUBFOLDERS)
    get_filename_component(entry "${entry}" DIRECTORY)
    add_subdirectory("${entry}")
  endforeach()
endmacro()

# What WHALE targets share: LINK, DEPENDS and MLIR.
function(_whale_configure_target name)
  cmake_parse_arguments(ARG "MLIR" "" "LINK;DEPENDS" ${ARGN})
  get_target_property(type ${name} TYPE)
  set(visibility PUBLIC)
  if(type STREQUAL "EXECUTABLE")
    set(visibility PRIVATE)
  endif()
  target_link_libraries(${name} ${visibility} ${ARG_LINK})
  if(ARG_MLIR)
    target_include_directories(${name} SYSTEM ${visibility}
                               ${LLVM_INCLUDE_DIRS} ${MLIR_INCLUDE_DIRS})
    target_link_libraries(${name} ${visibility} MLIR LLVM)
    target_precompile_headers(${name} REUSE_FROM whale_pch)
  endif()
  if(ARG_DEPENDS)
    add_dependencies(${name} ${ARG_DEPENDS})
  endif()
endfunction()

# whale_add_library(Name SOURCES a.cpp... [LINK libs...] [DEPENDS targets...]
#                   [MLIR])
# A static library. DEPENDS names tablegen targets. MLIR gives it LLVM's include
# path, the shared libraries MLIR and LLVM, and the shared precompiled header.
function(whale_add_library name)
  cmake_parse_arguments(ARG "MLIR" "" "SOURCES;LINK;DEPENDS" ${ARGN})
  list(REMOVE_ITEM ARGN SOURCES ${ARG_SOURCES})
  add_library(${name} STATIC ${ARG_SOURCES})
  _whale_configure_target(${name} ${ARGN})
endfunction()

# whale_add_executable(name SOURCES ... [LINK ...] [DEPENDS ...] [MLIR])
function(whale_add_executable name)
  cmake_parse_arguments(ARG "MLIR" "" "SOURCES;LINK;DEPENDS" ${ARGN})
  list(REMOVE_ITEM ARGN SOURCES ${ARG_SOURCES})
  add_executable(${name} ${ARG_SOURCES})
  _whale_configure_target(${name} ${ARGN})
endfunction()

# The folder of the current CMakeLists.txt as a test label: relative to the
# repository, without a leading "test/".
function(_whale_test_label result)
  set(root "${PROJECT_SOURCE_DIR}")
  if(DEFINED WHALE_SOURCE_ROOT)
    set(root "${WHALE_SOURCE_ROOT}")
  endif()
  file(RELATIVE_PATH label "${root}" "${CMAKE_CURRENT_SOURCE_DIR}")
  string(REGEX REPLACE "^test/" "" label "${label}")
  set(${result} "${label}" PARENT_SCOPE)
endfunction()

# whale_label_test(test label seconds)
# Its label and its time limit, which sanitizers stretch.
function(whale_label_test test label seconds)
  if(WHALE_SANITIZE)
    math(EXPR seconds "${seconds} * 6")
  endif()
  set_tests_properties(${test} PROPERTIES LABELS "${label}" TIMEOUT ${seconds})
endfunction()

# whale_add_unit_test(name SOURCES ... [LINK ...] [DEPENDS ...] [MLIR]
#                     [TIMEOUT seconds] [ARGS catch arguments...])
# A Catch2 executable and one ctest entry for it, `unit.<name>`.
function(whale_add_unit_test name)
  cmake_parse_arguments(ARG "MLIR" "TIMEOUT" "SOURCES;LINK;DEPENDS;ARGS"
                        ${ARGN})
  if(NOT TARGET whale_catch_main)
    find_package(Catch2 2.13 REQUIRED)
    add_library(whale_catch_main STATIC
                "${CMAKE_CURRENT_FUNCTION_LIST_DIR}/CatchMain.cpp")
    target_compile_options(whale_catch_main PRIVATE -O0)
    target_link_libraries(whale_catch_main PUBLIC Catch2::Catch2)
  endif()
  add_executable(${name} ${ARG_SOURCES})
  set(mlir)
  if(ARG_MLIR)
    set(mlir MLIR)
  endif()
  _whale_configure_target(${name} ${mlir} LINK ${ARG_LINK} whale_catch_main
                          DEPENDS ${ARG_DEPENDS})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 300)
  endif()
  _whale_test_label(label)
  add_test(NAME unit.${name} COMMAND ${name} ${ARG_ARGS})
  whale_label_test(unit.${name} "${label}" ${ARG_TIMEOUT})
endfunction()

# whale_add_lit_suite(folder [TIMEOUT seconds])
# One ctest entry, `lit.<folder>`, for the lit tests below a folder of test/.
function(whale_add_lit_suite folder)
  cmake_parse_arguments(ARG "" "TIMEOUT" "" ${ARGN})
  get_filename_component(path "${folder}" ABSOLUTE BASE_DIR
                         "${CMAKE_CURRENT_SOURCE_DIR}")
  file(RELATIVE_PATH label "${PROJECT_SOURCE_DIR}/test" "${path}")
  find_program(WHALE_LIT NAMES lit-22 lit HINTS "${LLVM_TOOLS_BINARY_DIR}"
               REQUIRED)
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 600)
  endif()
  add_test(NAME lit.${label}
           COMMAND "${WHALE_LIT}" -sv -j1 --no-progress-bar --param
                   "build=${PROJECT_BINARY_DIR}" --param
                   "llvm_tools=${LLVM_TOOLS_BINARY_DIR}" "${path}")
  whale_label_test(lit.${label} "${label}" ${ARG_TIMEOUT})
endfunction()
