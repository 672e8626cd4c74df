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
set(svc "")
set(svc_static "")
if(TARGET aglet_svc)
    set(svc aglet_svc)
    set(svc_static aglet_svc_static)
endif()
# Examples and labs that need it.
set(with_svc "^(service|restart)$")

set(net "")
set(net_static "")
if(TARGET aglet_net)
    set(net aglet_net)
    set(net_static aglet_net_static)
endif()

# aglet_program(<target> <file name> <folder> <sources>…)
function(aglet_program target file folder)
    add_executable(${target} ${ARGN})
    target_compile_options(${target} PRIVATE ${AGLET_WARNINGS} ${AGLET_THREAD_FLAGS})
    target_link_libraries(${target} PRIVATE m)
    set_target_properties(${target} PROPERTIES OUTPUT_NAME ${file} RUNTIME_OUTPUT_DIRECTORY
                                                                ${PROJECT_BINARY_DIR}/${folder})
endfunction()

# aglet_test(<name> <sources>…): test_<name>, a program of tests.
function(aglet_test name)
    aglet_program(test_${name} ${name} tests ${ARGN} $<TARGET_OBJECTS:ag_test>)
    target_include_directories(test_${name} PRIVATE ${PROJECT_SOURCE_DIR}/tests)
    target_compile_definitions(test_${name} PRIVATE ${AGLET_GNU})
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
    # What labs are linked with besides the library.
    set(lab_needs_keepalive left_out)
    set(lab_needs_502 left_out)
    if(http)
        set(lab_needs_keepalive ${http})
        find_package(PkgConfig)
        if(PkgConfig_FOUND AND NOT CMAKE_CROSSCOMPILING)
            pkg_check_modules(LIBPQ IMPORTED_TARGET libpq)
        endif()
        if(LIBPQ_FOUND)
            set(lab_needs_502 ${http} PkgConfig::LIBPQ)
        else()
            message(STATUS "the lab 502 is left out: it needs libpq (Debian: libpq-dev)")
        endif()
    endif()
    foreach(source IN LISTS examples)
        get_filename_component(name ${source} NAME_WE)
        if((name MATCHES "^https?_" AND NOT http) OR (name MATCHES "^https_|^tls_" AND NOT net)
           OR (name MATCHES ${with_svc} AND NOT svc))
            continue()
        endif()
        set(program ${name})
        set(needs "")
        if(source MATCHES "/examples/lab/[^/]*$")
            set(program lab-${name})
            set(needs ${lab_needs_${name}})
            if("left_out" IN_LIST needs)
                continue()
            endif()
            list(APPEND lab_programs example_lab-${name})
        endif()
        aglet_program(example_${program} ${program} bin ${source})
        target_link_libraries(example_${program} PRIVATE ${needs} aglet)
        if(name MATCHES "^https?_")
            target_link_libraries(example_${program} PRIVATE ${http})
        elseif(name MATCHES ${with_svc})
            target_link_libraries(example_${program} PRIVATE ${svc})
        endif()
        if(name MATCHES "^https_|^tls_")
            target_link_libraries(example_${program} PRIVATE ${net})
        endif()
    endforeach()

    file(GLOB orders_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/examples/orders/*.c)
    list(FILTER orders_sources EXCLUDE REGEX "_test\\.c$")
    if(orders_sources AND NOT (svc AND net))
        message(NOTICE "examples/orders is left out: it needs the libraries aglet-svc, aglet-net")
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
            target_compile_definitions(orders PRIVATE ${AGLET_GNU})
            target_link_libraries(orders PRIVATE ${svc} ${http} ${net} aglet PkgConfig::ORDERS)
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
    if(name STREQUAL client_curl)
        if(PkgConfig_FOUND AND NOT CMAKE_CROSSCOMPILING)
            pkg_check_modules(AGLET_CURL IMPORTED_TARGET libcurl)
        endif()
        if(NOT AGLET_CURL_FOUND)
            continue()
        endif()
    endif()
    if((name MATCHES "^tls_" AND NOT AGLET_OPENSSL_FOUND) OR
       (name STREQUAL http AND NOT (http AND net)))
        continue()
    endif()
    aglet_program(bench_${name} ${name} bench ${source})
    if(name STREQUAL client_curl)
        target_link_libraries(bench_${name} PRIVATE PkgConfig::AGLET_CURL)
    elseif(name MATCHES "^tls_")
        target_link_libraries(bench_${name} PRIVATE PkgConfig::AGLET_OPENSSL)
    endif()
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
        list(FILTER white_box EXCLUDE REGEX "/src/(http|svc)/")
    elseif(NOT AGLET_HTTP2)
        list(FILTER white_box EXCLUDE REGEX "/src/http/(client_)?h2_")
    endif()
    if(NOT net)
        list(FILTER white_box EXCLUDE REGEX "/src/tls/")
    endif()
    file(GLOB black_box CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/tests/conformance/*.c
         ${PROJECT_SOURCE_DIR}/tests/conformance/*.cc ${PROJECT_SOURCE_DIR}/tests/stress/*.c)
    # Link-time optimisation compiles the library again for each program. Those in which it is
    # inlined into what they are most about are linked as one, by the suite's stage for it; not
    # those that look for names of functions, which it may change, or open a library.
    set(linked_as_one "")
    string(CONCAT inlined
           "^conformance_(chan|chan_wait|ctx|deadlock|defer|exceptions|go_statement|job|"
           "memory_order|misuse|net|panic|procs|recover|run|scope|select|signal|stack|sync|"
           "sync_check|sync_cond|sync_rwmutex|thread|time|unwinding)$|"
           "^stress_(channels|closing|contexts|endings|locks|parking|revoked|selects)$")
    set(programs "")
    foreach(source IN LISTS white_box black_box)
        if(source MATCHES "/tests/(conformance|stress)/[^/]*$")
            aglet_plain_name(name ${source} ${PROJECT_SOURCE_DIR}/tests)
        else()
            aglet_plain_name(name ${source} ${PROJECT_SOURCE_DIR}/src)
        endif()
        if((name MATCHES "^[a-z]+_http_" AND NOT http) OR (name MATCHES "^[a-z]+_tls" AND NOT net))
            continue()
        endif()
        aglet_test(${name} ${source})
        # Tests overflow stacks on purpose.
        target_compile_options(test_${name} PRIVATE -Wno-infinite-recursion)
        if(name STREQUAL conformance_plugin)
            target_link_libraries(test_${name} PRIVATE aglet ${CMAKE_DL_LIBS})
            add_dependencies(test_${name} test_plugin)
        else()
            if(name MATCHES "^tls_|^[a-z]+_tls")
                target_link_libraries(test_${name} PRIVATE ${net_static}
                                                           PkgConfig::AGLET_OPENSSL)
            endif()
            target_link_libraries(test_${name} PRIVATE ${http_static} aglet_static)
        endif()
        if(name MATCHES "^svc_")
            target_link_libraries(test_${name} PRIVATE ${svc_static})
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
        if(name MATCHES "${inlined}")
            list(APPEND linked_as_one ${source})
        endif()
        list(APPEND programs ${name})
    endforeach()
    if(AGLET_LTO)
        aglet_test(together ${linked_as_one})
        target_compile_options(test_together PRIVATE -Wno-infinite-recursion)
        target_link_libraries(test_together PRIVATE ${http_static} aglet_static)
        list(APPEND programs together)
    endif()

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
            if((name MATCHES "_http(_|$)" AND NOT http) OR (name MATCHES "_tls$" AND NOT net) OR
               (name MATCHES "_svc$" AND NOT svc))
                continue()
            endif()
            aglet_test(${name} ${source} ${inject}.c)
            target_link_options(test_${name} PRIVATE ${wrapped})
            if(name MATCHES "_tls$")
                target_link_libraries(test_${name} PRIVATE ${net_static} PkgConfig::AGLET_OPENSSL)
            elseif(name MATCHES "_svc$")
                target_link_libraries(test_${name} PRIVATE ${svc_static})
            endif()
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
            aglet_test(${name} ${source})
            target_link_libraries(test_${name} PRIVATE aglet_test)
            list(APPEND programs ${name})
        endforeach()
    endif()

    # tests/soak: not part of the suite.
    if(http AND EXISTS ${PROJECT_SOURCE_DIR}/tests/soak/soak.c)
        aglet_test(soak ${PROJECT_SOURCE_DIR}/tests/soak/soak.c)
        target_link_libraries(test_soak PRIVATE ${http_static} aglet_static)
    endif()

    # tests/e2e: what its scripts set others upon, with the libraries that they need.
    set(peer_ws websocket/ws_peer.c)
    set(peer_attacked attacked.c)
    set(peer_tls tls_peer.c)
    foreach(peer IN ITEMS ws attacked tls)
        if(http AND (net OR NOT peer STREQUAL tls))
            get_filename_component(name ${peer_${peer}} NAME_WE)
            aglet_program(test_${name} ${name} tests
                          ${PROJECT_SOURCE_DIR}/tests/e2e/${peer_${peer}})
            if(peer STREQUAL tls)
                target_link_libraries(test_${name} PRIVATE ${net_static})
            endif()
            target_link_libraries(test_${name} PRIVATE ${http_static} aglet_static)
        endif()
    endforeach()

    # tests/detect: programs with bugs and without, which its run.py plays.
    foreach(name IN ITEMS bugs legal)
        set(source ${PROJECT_SOURCE_DIR}/tests/detect/${name}.c)
        if(EXISTS ${source})
            aglet_program(test_detect_${name} detect_${name} tests ${source})
            target_link_libraries(test_detect_${name} PRIVATE aglet_static)
        endif()
    endforeach()

    # tests/e2e: the service that restart.py starts and stops.
    if(svc AND EXISTS ${PROJECT_SOURCE_DIR}/tests/e2e/service.c)
        aglet_program(test_e2e_service e2e_service tests ${PROJECT_SOURCE_DIR}/tests/e2e/service.c)
        target_compile_definitions(test_e2e_service PRIVATE ${AGLET_GNU})
        target_link_libraries(test_e2e_service PRIVATE ${svc_static})
    endif()

    # All of the suite's programs; those over the public interface alone.
    add_custom_target(tests)
    add_custom_target(conformance)
    foreach(name IN LISTS programs)
        add_dependencies(tests test_${name})
        if(name MATCHES "^(conformance|stress)_")
            add_dependencies(conformance test_${name})
        endif()
    endforeach()
    # What its scripts compile against, and run.
    foreach(target IN ITEMS aglet aglet_net aglet_http aglet_svc aglet_heap aglet_tool
            test_detect_bugs test_detect_legal)
        if(TARGET ${target})
            add_dependencies(tests ${target})
        endif()
    endforeach()

    # What tests/run_suite.py and tests/sanitizers/run.py have to know about this build.
    set(watched "")
    if(AGLET_TSAN_SELF)
        set(watched self)
    endif()
    string(REPLACE ";" " " emulator "${CMAKE_CROSSCOMPILING_EMULATOR}")
    set(link_http "")
    if(http)
        set(link_http libaglet-http.a)
        if(net)
            list(APPEND link_http libaglet-net.a)
        endif()
        list(APPEND link_http libaglet.a ${http_libraries} ${AGLET_OPENSSL_LINK_LIBRARIES})
        list(JOIN link_http " " link_http)
    endif()
    list(JOIN programs "\ntest " program_lines)
    file(CONFIGURE OUTPUT ${PROJECT_BINARY_DIR}/suite.txt CONTENT
"source ${PROJECT_SOURCE_DIR}
cpu ${AGLET_CPU}
sanitize ${AGLET_SANITIZE}
watched ${watched}
emulator ${emulator}
compiler ${CMAKE_C_COMPILER}
link_http ${link_http}
test ${program_lines}
")
endif()

# ---- Fuzzers: tests/fuzz/NAME.c defines LLVMFuzzerTestOneInput --------------------------------

if(AGLET_FUZZ)
    file(GLOB fuzzers CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/tests/fuzz/*.c)
    foreach(source IN LISTS fuzzers)
        get_filename_component(name ${source} NAME_WE)
        if(name STREQUAL "fuzz_h2" AND NOT AGLET_HTTP2)
            continue()
        endif()
        aglet_program(fuzz_${name} ${name} fuzz ${source})
        target_include_directories(fuzz_${name} PRIVATE ${PROJECT_SOURCE_DIR}/src)
        target_link_libraries(fuzz_${name} PRIVATE ${http_static} aglet_static)
        target_link_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
    endforeach()
endif()
