# Regenerates program_generated.h into WORK and compares it with HEADER.
# To renew it: flatc --cpp --scoped-enums --gen-object-api --cpp-std c++17
#   -o runtime/format runtime/format/program.fbs
file(MAKE_DIRECTORY ${WORK})
execute_process(
  COMMAND ${FLATC} --cpp --scoped-enums --gen-object-api --cpp-std c++17
    -o ${WORK} ${SCHEMA}
  RESULT_VARIABLE result OUTPUT_QUIET ERROR_QUIET)
if(NOT result EQUAL 0)
  message(FATAL_ERROR "flatc cannot read ${SCHEMA}")
endif()
execute_process(
  COMMAND ${CMAKE_COMMAND} -E compare_files
    ${WORK}/program_generated.h ${HEADER}
  RESULT_VARIABLE differ)
if(differ)
  message(FATAL_ERROR "${HEADER} is stale; renew it as this script says")
endif()
