# SPDX-License-Identifier: MIT
#
# What is linked with the library: the tool, examples, tests, benchmarks. Each subtree is optional;
# each file is found by its place. Programs go to bin/, tests to tests/, benchmarks to bench/.

set(http "")
set(http_static "")
if(TARGET aglet_http)
    set(http aglet_http)
    set(http_static aglet_http_static)
endif()

# aglet_program(<target> <file name> <folder> <sources>…)
function(aglet_program target file folder)
    add_executable(${target} ${ARGN})
    target_compile_options(${target} PRIVATE ${AGLET_WARNINGS} ${AGLET_THREAD_FLAGS})
    target_link_libraries(${target} PRIVATE m)
    set_target_properties(${target} PROPERTIES OUTPUT_NAME ${file} RUNTIME_OUTPUT_DIRECTORY
                                                                ${PROJECT_BINARY_DIR}/${folder})
endfunction()

# aglet_plain_name(<variable> <path> <root>): sched/chan_test.c becomes sched_chan_test.
function(aglet_plain_name out path root)
    file(RELATIVE_PATH name ${root} ${path})
    string(REGEX REPLACE "\\.[a-z]+$" "" name ${name})
    string(REPLACE / _ name ${name})
    set(${out} ${name} PARENT_SCOPE)
endfunction()

# ---- Tool and examples ------------------------------------------------------------------------

if(AGLET_BUILD_PROGRAMS)
    file(GLOB tool_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/cmd/aglet/*.c)
    list(FILTER tool_sources EXCLUDE REGEX "_test\\.c$")
    if(tool_sources)
        aglet_program(aglet_tool aglet bin ${tool_sources})
        target_link_libraries(aglet_tool PRIVATE aglet_static)
    endif()

    file(GLOB examples CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/examples/*.c
         ${PROJECT_SOURCE_DIR}/examples/lab/*.c)
    set(lab_programs "")
    foreach(source IN LISTS examples)
        get_filename_component(name ${source} NAME_WE)
        if(name MATCHES "^http_" AND NOT http)
            continue()
        endif()
        set(program ${name})
        if(source MATCHES "/examples/lab/[^/]*$")
            set(program lab-${name})
            list(APPEND lab_programs example_lab-${name})
        endif()
        aglet_program(example_${program} ${program} bin ${source})
        target_link_libraries(example_${program} PRIVATE aglet)
        if(name MATCHES "^http_")
            target_link_libraries(example_${program} PRIVATE ${http})
        endif()
    endforeach()

    file(GLOB orders_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/examples/orders/*.c)
    list(FILTER orders_sources EXCLUDE REGEX "_test\\.c$")
    if(orders_sources AND NOT http)
        message(NOTICE "examples/orders is left out: the library aglet-http has no sources yet")
    elseif(orders_sources AND CMAKE_CROSSCOMPILING)
        message(NOTICE "examples/orders is left out: its libraries are not looked for in a cross "
                       "build")
    elseif(orders_sources)
        find_package(PkgConfig)
        if(PkgConfig_FOUND)
            pkg_check_modules(ORDERS IMPORTED_TARGET sqlite3 jansson)
        endif()
        if(ORDERS_FOUND)
            aglet_program(orders orders bin ${orders_sources})
            target_link_libraries(orders PRIVATE ${http} aglet PkgConfig::ORDERS)
        else()
            message(WARNING "examples/orders is left out: it needs pkg-config, sqlite3 and jansson "
                            "(Debian: pkg-config libsqlite3-dev libjansson-dev)")
        endif()
    endif()

    # What `make run` needs, and no more.
    add_custom_target(service)
    if(TARGET orders)
        add_dependencies(service orders)
    else()
        add_dependencies(service example_hello)
    endif()
endif()

# ---- Benchmarks: built by the target `benches` only -------------------------------------------

file(GLOB_RECURSE bench_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/*_bench.c)
file(GLOB bench_more CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/bench/*.c)
add_custom_target(benches)
foreach(source IN LISTS bench_sources bench_more)
    if(source MATCHES "/bench/[^/]*$")
        get_filename_component(name ${source} NAME_WE)
    else()
        aglet_plain_name(name ${source} ${PROJECT_SOURCE_DIR}/src)
    endif()
    aglet_program(bench_${name} ${name} bench ${source})
    set_target_properties(bench_${name} PROPERTIES EXCLUDE_FROM_ALL ON)
    target_include_directories(bench_${name} PRIVATE ${PROJECT_SOURCE_DIR}/src
                                                     ${PROJECT_SOURCE_DIR}/bench)
    target_compile_definitions(bench_${name} PRIVATE ${AGLET_GNU})
    target_link_libraries(bench_${name} PRIVATE ${http_static} aglet_static)
    add_dependencies(benches bench_${name})
endforeach()

# ---- Tests ------------------------------------------------------------------------------------

if(AGLET_BUILD_TESTS)
    # The runner's own limits are wider where everything is slower.
    set(slow 1)
    if(AGLET_SANITIZE OR CMAKE_CROSSCOMPILING)
        set(slow 5)
    endif()
    add_library(ag_test OBJECT ${PROJECT_SOURCE_DIR}/tests/ag_test.c)
    target_compile_options(ag_test PRIVATE ${AGLET_WARNINGS} ${AGLET_THREAD_FLAGS})
    target_compile_definitions(ag_test PRIVATE AG_TEST_SLOW=${slow} ${AGLET_GNU})

    file(GLOB_RECURSE white_box CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/*_test.c)
    foreach(other IN ITEMS x86_64 aarch64)
        if(NOT other STREQUAL AGLET_CPU)
            list(FILTER white_box EXCLUDE REGEX "/arch/${other}/")
        endif()
    endforeach()
    if(NOT http)
        list(FILTER white_box EXCLUDE REGEX "/src/http/")
    endif()
    file(GLOB black_box CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/tests/conformance/*.c
         ${PROJECT_SOURCE_DIR}/tests/conformance/*.cc ${PROJECT_SOURCE_DIR}/tests/stress/*.c)
    set(programs "")
    foreach(source IN LISTS white_box black_box)
        if(source MATCHES "/tests/(conformance|stress)/[^/]*$")
            aglet_plain_name(name ${source} ${PROJECT_SOURCE_DIR}/tests)
        else()
            aglet_plain_name(name ${source} ${PROJECT_SOURCE_DIR}/src)
        endif()
        if(name MATCHES "^[a-z]+_http_" AND NOT http)
            continue()
        endif()
        aglet_program(test_${name} ${name} tests ${source} $<TARGET_OBJECTS:ag_test>)
        target_include_directories(test_${name} PRIVATE ${PROJECT_SOURCE_DIR}/tests)
        target_compile_definitions(test_${name} PRIVATE ${AGLET_GNU})
        # Tests overflow stacks on purpose.
        target_compile_options(test_${name} PRIVATE -Wno-infinite-recursion)
        if(name STREQUAL conformance_plugin)
            target_link_libraries(test_${name} PRIVATE aglet ${CMAKE_DL_LIBS})
            add_dependencies(test_${name} test_plugin)
        else()
            target_link_libraries(test_${name} PRIVATE ${http_static} aglet_static)
        endif()
        # The heap profile's library: its parts for white-box tests, else all of it.
        if(name MATCHES "^heap_")
            target_sources(test_${name} PRIVATE src/heap/blocks.c src/heap/sample.c
                                                src/heap/stacks.c)
        elseif(name MATCHES "^conformance_heap" AND TARGET aglet_heap)
            target_link_libraries(test_${name} PRIVATE aglet_heap)
            set_target_properties(test_${name} PROPERTIES ENABLE_EXPORTS ON)
        endif()
        if(source IN_LIST white_box)
            target_include_directories(test_${name} PRIVATE ${PROJECT_SOURCE_DIR}/src)
        endif()
        list(APPEND programs ${name})
    endforeach()

    # Has an allocator of its own.
    set_source_files_properties(tests/conformance/heap_other.c PROPERTIES
                                COMPILE_OPTIONS "-fno-builtin;-fno-lto")

    # The library that conformance_plugin opens: both use the shared runtime.
    add_library(test_plugin MODULE ${PROJECT_SOURCE_DIR}/tests/conformance/plugin/deferring.c)
    target_compile_options(test_plugin PRIVATE ${AGLET_WARNINGS} ${AGLET_THREAD_FLAGS})
    target_link_libraries(test_plugin PRIVATE aglet)
    set_target_properties(test_plugin PROPERTIES PREFIX "" OUTPUT_NAME deferring
                          LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)

    # tests/fail: calls of the C library that fail to order. The linker sends them to the wrappers
    # of inject.c. Left out with link-time optimisation: there the compiler has put its own calls
    # of malloc, memory and string functions in place before the linker looks at names, and which
    # ones are wrapped depends on what was inlined.
    if(NOT AGLET_LTO)
        set(inject ${PROJECT_SOURCE_DIR}/tests/fail/inject)
        set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${inject}.def)
        file(STRINGS ${inject}.def wrapped REGEX "^CALL\\(")
        list(TRANSFORM wrapped REPLACE "^CALL\\(([a-z0-9_]+),.*" "LINKER:--wrap=\\1")
        list(APPEND wrapped LINKER:--wrap=free LINKER:--wrap=syscall)
        file(GLOB fail_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/tests/fail/*.c)
        list(REMOVE_ITEM fail_sources ${inject}.c)
        foreach(source IN LISTS fail_sources)
            aglet_plain_name(name ${source} ${PROJECT_SOURCE_DIR}/tests)
            if(name MATCHES "_http$" AND NOT http)
                continue()
            endif()
            aglet_program(test_${name} ${name} tests ${source} ${inject}.c
                          $<TARGET_OBJECTS:ag_test>)
            target_include_directories(test_${name} PRIVATE ${PROJECT_SOURCE_DIR}/tests)
            target_compile_definitions(test_${name} PRIVATE ${AGLET_GNU})
            target_link_options(test_${name} PRIVATE ${wrapped})
            target_link_libraries(test_${name} PRIVATE ${http_static} aglet_static)
            list(APPEND programs ${name})
        endforeach()
    endif()

    # tests/users: the library for users' tests, linked as users do. Not with link-time
    # optimisation, for the same reason.
    if(NOT AGLET_LTO)
        file(GLOB users_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/tests/users/*.c)
        foreach(source IN LISTS users_sources)
            aglet_plain_name(name ${source} ${PROJECT_SOURCE_DIR}/tests)
            aglet_program(test_${name} ${name} tests ${source} $<TARGET_OBJECTS:ag_test>)
            target_include_directories(test_${name} PRIVATE ${PROJECT_SOURCE_DIR}/tests)
            target_compile_definitions(test_${name} PRIVATE ${AGLET_GNU})
            target_link_libraries(test_${name} PRIVATE aglet_test)
            list(APPEND programs ${name})
        endforeach()
    endif()

    # tests/soak: not part of the suite.
    if(http AND EXISTS ${PROJECT_SOURCE_DIR}/tests/soak/soak.c)
        aglet_program(test_soak soak tests ${PROJECT_SOURCE_DIR}/tests/soak/soak.c
                      $<TARGET_OBJECTS:ag_test>)
        target_include_directories(test_soak PRIVATE ${PROJECT_SOURCE_DIR}/tests)
        target_compile_definitions(test_soak PRIVATE ${AGLET_GNU})
        target_link_libraries(test_soak PRIVATE ${http_static} aglet_static)
    endif()

    # tests/detect: programs with bugs and without, which its run.py plays.
    foreach(name IN ITEMS bugs legal)
        set(source ${PROJECT_SOURCE_DIR}/tests/detect/${name}.c)
        if(EXISTS ${source})
            aglet_program(test_detect_${name} detect_${name} tests ${source})
            target_link_libraries(test_detect_${name} PRIVATE aglet_static)
        endif()
    endforeach()

    # What tests/run_suite.py and tests/sanitizers/run.py have to know about this build.
    set(watched "")
    if(AGLET_TSAN_SELF)
        set(watched self)
    endif()
    string(REPLACE ";" " " emulator "${CMAKE_CROSSCOMPILING_EMULATOR}")
    list(JOIN programs "\ntest " program_lines)
    file(CONFIGURE OUTPUT ${PROJECT_BINARY_DIR}/suite.txt CONTENT
"source ${PROJECT_SOURCE_DIR}
cpu ${AGLET_CPU}
sanitize ${AGLET_SANITIZE}
watched ${watched}
emulator ${emulator}
compiler ${CMAKE_C_COMPILER}
test ${program_lines}
")
endif()

# ---- Fuzzers: tests/fuzz/NAME.c defines LLVMFuzzerTestOneInput --------------------------------

if(AGLET_FUZZ)
    file(GLOB fuzzers CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/tests/fuzz/*.c)
    foreach(source IN LISTS fuzzers)
        get_filename_component(name ${source} NAME_WE)
        aglet_program(fuzz_${name} ${name} fuzz ${source})
        target_include_directories(fuzz_${name} PRIVATE ${PROJECT_SOURCE_DIR}/src)
        target_link_libraries(fuzz_${name} PRIVATE ${http_static} aglet_static)
        target_link_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
    endforeach()
endif()
