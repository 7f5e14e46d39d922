# What every target of Ferry shares: warnings, sanitizers, the linker, and ferry_layer(), which holds the
# layering rules of ARCHITECTURE.md. A layer that links upwards stops the configuration; an #include that
# goes upwards stops the build (tools/check_layers.py runs before the layer's library is linked).

add_library(ferry_options INTERFACE)
# Designated initializers leave out members on purpose; they have defaults.
target_compile_options(ferry_options INTERFACE -Wall -Wextra -Wno-missing-field-initializers -Wpedantic -Wshadow -Wconversion -Wno-sign-conversion -Werror)
# GCC 12 warns of overlaps inside std::string that cannot happen (GCC bug 105651).
target_compile_options(ferry_options INTERFACE $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict>)
target_include_directories(ferry_options INTERFACE "${CMAKE_SOURCE_DIR}/src")
# Foreign headers are not ours to warn about.
target_include_directories(ferry_options SYSTEM INTERFACE "${ArrowWheel_INCLUDE_DIR}")

if(FERRY_SANITIZE)
  add_compile_options(-fsanitize=${FERRY_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${FERRY_SANITIZE})
  # With sanitizers GCC takes members of std::regex's for uninitialized (GCC bug 105562).
  target_compile_options(ferry_options INTERFACE $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)
endif()

find_program(FERRY_MOLD mold)
if(FERRY_MOLD)
  add_link_options(-fuse-ld=mold)
endif()
find_program(FERRY_CCACHE ccache)
if(FERRY_CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER "${FERRY_CCACHE}")
endif()

find_package(Python3 REQUIRED COMPONENTS Interpreter)

# Which layers each layer may use, directly or through another. This is the one statement of the layering.
set(FERRY_MAY_USE_base "")
set(FERRY_MAY_USE_model base)
set(FERRY_MAY_USE_mapping base model)
set(FERRY_MAY_USE_formats base model)
set(FERRY_MAY_USE_connector base model)
set(FERRY_MAY_USE_aws base)
set(FERRY_MAY_USE_connectors base model formats connector aws)
set(FERRY_MAY_USE_engine base model mapping connector)
set(FERRY_MAY_USE_cli base model mapping connector engine)

# ferry_layer(<name> FOLDER <folder under src> [LINKS <ferry layers>…] [VENDOR <foreign targets>…])
# makes the static library ferry_<name> of the folder's *.cc, and <name>_test of its *_test.cc. SUBFOLDERS are
# part of the same library.
function(ferry_layer name)
  cmake_parse_arguments(ARG "" "FOLDER" "LINKS;VENDOR;SUBFOLDERS" ${ARGN})
  string(REGEX REPLACE "/.*" "" layer "${ARG_FOLDER}")
  foreach(link IN LISTS ARG_LINKS)
    get_target_property(link_layer ferry_${link} FERRY_LAYER)
    if(NOT link_layer STREQUAL layer AND NOT link_layer IN_LIST FERRY_MAY_USE_${layer})
      message(FATAL_ERROR "Layer '${layer}' (ferry_${name}) may not link '${link_layer}' (ferry_${link}); see ARCHITECTURE.md, Layers.")
    endif()
    # The registry, in the folder above them, alone knows them all.
    if(ARG_FOLDER MATCHES "^connectors/" AND link_layer STREQUAL "connectors")
      message(FATAL_ERROR "'${ARG_FOLDER}' may not link ferry_${link}, another connector.")
    endif()
  endforeach()
  foreach(vendor IN LISTS ARG_VENDOR)
    if(vendor MATCHES "^ferry_")
      message(FATAL_ERROR "${vendor} is no foreign target of ferry_${name}: name it under LINKS.")
    endif()
  endforeach()

  set(folders "${CMAKE_CURRENT_SOURCE_DIR}")
  foreach(subfolder IN LISTS ARG_SUBFOLDERS)
    list(APPEND folders "${CMAKE_CURRENT_SOURCE_DIR}/${subfolder}")
  endforeach()
  set(source_patterns ${folders})
  list(TRANSFORM source_patterns APPEND "/*.cc")
  set(header_patterns ${folders})
  list(TRANSFORM header_patterns APPEND "/*.h")
  file(GLOB sources CONFIGURE_DEPENDS ${source_patterns})
  file(GLOB headers CONFIGURE_DEPENDS ${header_patterns})
  set(tests ${sources})
  list(FILTER tests INCLUDE REGEX "_test\\.cc$")
  list(FILTER sources EXCLUDE REGEX "_(test|servertest)\\.cc$")

  add_library(ferry_${name} STATIC ${sources} ${headers})
  set_target_properties(ferry_${name} PROPERTIES FERRY_LAYER ${layer} LINKER_LANGUAGE CXX)
  target_link_libraries(ferry_${name} PUBLIC ferry_options PRIVATE ${ARG_VENDOR})
  foreach(link IN LISTS ARG_LINKS)
    target_link_libraries(ferry_${name} PUBLIC ferry_${link})
  endforeach()

  set(stamp "${CMAKE_CURRENT_BINARY_DIR}/${name}.layers")
  add_custom_command(OUTPUT "${stamp}"
    COMMAND "${Python3_EXECUTABLE}" "${CMAKE_SOURCE_DIR}/tools/check_layers.py" --folders ${folders}
            --layer ${layer} --may-use "${FERRY_MAY_USE_${layer}}"
    COMMAND "${CMAKE_COMMAND}" -E touch "${stamp}"
    DEPENDS ${sources} ${headers} "${CMAKE_SOURCE_DIR}/tools/check_layers.py"
    COMMENT "Layer check of ${ARG_FOLDER}" VERBATIM)
  add_custom_target(${name}_layers DEPENDS "${stamp}")
  add_dependencies(ferry_${name} ${name}_layers)

  if(FERRY_TESTS AND tests)
    add_executable(${name}_test ${tests})
    target_link_libraries(${name}_test PRIVATE ferry_${name} GTest::gmock GTest::gtest_main ${ARG_VENDOR})
    add_test(NAME ${name}_test COMMAND ${name}_test)
  endif()
endfunction()
