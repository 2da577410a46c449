# Language level, warnings, compiler cache and folders of the build tree.

option(WHALE_WERROR "Warnings are errors" OFF)
option(WHALE_SANITIZE "Address and undefined-behaviour sanitizers" OFF)

if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "" FORCE)
endif()

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_INSTALL_RPATH_USE_LINK_PATH ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/bin")

# Includes are written from the repository root; generated headers lie at the
# same paths under the build root.
include_directories("${PROJECT_SOURCE_DIR}")
include_directories(SYSTEM "${PROJECT_BINARY_DIR}")

# Overrides of MLIR's interfaces leave many parameters unused. nvcc knows none
# of these.
set(warnings -Wall -Wextra -Wno-unused-parameter)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # False alarms inside the standard library and LLVM's headers once inlined.
  list(APPEND warnings -Wno-maybe-uninitialized -Wno-array-bounds
       -Wno-stringop-overflow -Wno-restrict)
endif()
if(WHALE_WERROR)
  list(APPEND warnings -Werror)
endif()
add_compile_options("$<$<COMPILE_LANGUAGE:C,CXX>:${warnings}>")

if(WHALE_SANITIZE)
  # vptr would need type information of the uninstrumented LLVM libraries.
  set(flags -fsanitize=address,undefined -fno-sanitize=vptr
            -fno-sanitize-recover=all -fno-omit-frame-pointer)
  add_compile_options(${flags} -gline-tables-only)
  add_link_options(${flags})
endif()

# Clang stamps precompiled headers with a time by default, which no cache
# survives.
if(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
  add_compile_options("$<$<COMPILE_LANGUAGE:CXX>:SHELL:-Xclang -fno-pch-timestamp>")
endif()
find_program(WHALE_CCACHE ccache)
if(WHALE_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(sloppiness
      pch_defines,time_macros,include_file_mtime,include_file_ctime)
  set(CMAKE_CXX_COMPILER_LAUNCHER "${CMAKE_COMMAND}" -E env
      CCACHE_SLOPPINESS=${sloppiness} "${WHALE_CCACHE}")
endif()
