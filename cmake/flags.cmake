# SPDX-License-Identifier: MIT
#
# Compiler flags. Sets AGLET_CPU, AGLET_WARNINGS, AGLET_LIBRARY_FLAGS (the library's objects),
# AGLET_SHARED_FLAGS (linking the shared library) and AGLET_THREAD_FLAGS (what -fsanitize=thread
# watches: everything but the runtime).

set(CMAKE_C_STANDARD 11)
set(CMAKE_C_EXTENSIONS ON)
set(CMAKE_CXX_STANDARD 17)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

# No -DNDEBUG anywhere: the library has its own levels of checking, tests use none of assert.h.
set(CMAKE_C_FLAGS_RELWITHDEBINFO "-O2 -g" CACHE STRING "")
set(CMAKE_CXX_FLAGS_RELWITHDEBINFO "-O2 -g" CACHE STRING "")
foreach(kind IN ITEMS C CXX)
    foreach(type IN ITEMS RELWITHDEBINFO RELEASE)
        string(REPLACE "-DNDEBUG" "" CMAKE_${kind}_FLAGS_${type} "${CMAKE_${kind}_FLAGS_${type}}")
    endforeach()
endforeach()

string(TOLOWER "${CMAKE_SYSTEM_PROCESSOR}" AGLET_CPU)
if(AGLET_CPU MATCHES "^(x86_64|amd64)$")
    set(AGLET_CPU x86_64)
    set(branch_flags -fcf-protection=branch)
elseif(AGLET_CPU MATCHES "^(aarch64|arm64)$")
    set(AGLET_CPU aarch64)
    set(branch_flags -mbranch-protection=standard)
else()
    message(FATAL_ERROR "aglet runs on x86_64 and aarch64, not on ${CMAKE_SYSTEM_PROCESSOR}")
endif()

# The system's own interface, for the library and what looks inside it: not for examples, which are
# what users write. Defined empty, as `#define _GNU_SOURCE` does, so that both may be there.
set(AGLET_GNU $<$<COMPILE_LANGUAGE:C>:_GNU_SOURCE=>)

set(AGLET_WARNINGS -Wall -Wextra $<$<COMPILE_LANGUAGE:C>:-Wstrict-prototypes>)
if(AGLET_WERROR)
    list(APPEND AGLET_WARNINGS -Werror)
endif()

# initial-exec: the runtime reads its thread-locals on every switch; one load instead of a call.
# Frame pointers: dumps and profilers walk stacks of goroutines that are not running.
set(AGLET_LIBRARY_FLAGS
    -ftls-model=initial-exec -fno-semantic-interposition -fno-omit-frame-pointer
    -ffunction-sections -fdata-sections ${branch_flags}
    $<$<COMPILE_LANGUAGE:C>:-Wmissing-prototypes>)
set(AGLET_SHARED_FLAGS LINKER:-Bsymbolic-functions LINKER:-z,now LINKER:-z,relro
                       LINKER:--gc-sections)

set(AGLET_THREAD_FLAGS "")
if(AGLET_SANITIZE STREQUAL "address")
    set(sanitize_flags -fsanitize=address,undefined -fno-sanitize-recover=undefined)
    add_compile_options(${sanitize_flags} -fno-omit-frame-pointer)
elseif(AGLET_SANITIZE STREQUAL "undefined")
    set(sanitize_flags -fsanitize=undefined -fno-sanitize-recover=undefined)
    add_compile_options(${sanitize_flags})
elseif(AGLET_SANITIZE STREQUAL "thread")
    set(sanitize_flags -fsanitize=thread)
    set(AGLET_THREAD_FLAGS -fsanitize=thread)
    add_compile_definitions(AG_TSAN=1)
    if(AGLET_TSAN_SELF)
        add_compile_definitions(AG_TSAN_SELF=1)
    endif()
elseif(AGLET_SANITIZE STREQUAL "")
    set(sanitize_flags "")
    list(APPEND AGLET_SHARED_FLAGS LINKER:-z,defs)
else()
    message(FATAL_ERROR "AGLET_SANITIZE is address, thread or undefined, not ${AGLET_SANITIZE}")
endif()
add_link_options(${sanitize_flags})

if(AGLET_FUZZ)
    add_compile_options(-fsanitize=fuzzer-no-link)
endif()
if(AGLET_TINY)
    add_compile_definitions(AG_TINY=1)
endif()
if(AGLET_CHECK)
    add_compile_definitions(AG_CHECK=1)
endif()
if(AGLET_LTO)
    add_compile_options(-flto $<$<C_COMPILER_ID:GNU>:-ffat-lto-objects>)
    add_link_options(-flto $<$<C_COMPILER_ID:GNU>:-flto=auto>)
endif()
