# SPDX-License-Identifier: MIT
#
# Installs headers, libraries, the tool, the labs, gdb's script, the CMake package and the
# pkg-config files.
include(CMakePackageConfigHelpers)

set(targets aglet aglet_static aglet_test)
set(pc_files aglet.pc aglet-test.pc)
set_target_properties(aglet_test PROPERTIES EXPORT_NAME test)
add_library(aglet::test ALIAS aglet_test)
list(TRANSFORM AGLET_TEST_WRAPPED PREPEND -Wl,--wrap= OUTPUT_VARIABLE pc_wrapped)
list(JOIN pc_wrapped " " pc_wrapped)
foreach(part IN ITEMS net http svc)
    if(TARGET aglet_${part})
        list(APPEND targets aglet_${part} aglet_${part}_static)
        set_target_properties(aglet_${part} PROPERTIES EXPORT_NAME ${part})
        set_target_properties(aglet_${part}_static PROPERTIES EXPORT_NAME ${part}_static)
        add_library(aglet::${part} ALIAS aglet_${part})
        add_library(aglet::${part}_static ALIAS aglet_${part}_static)
        list(APPEND pc_files aglet-${part}.pc)
    endif()
endforeach()
if(TARGET aglet_heap)
    list(APPEND targets aglet_heap)
    set_target_properties(aglet_heap PROPERTIES EXPORT_NAME heap)
    add_library(aglet::heap ALIAS aglet_heap)
    list(APPEND pc_files aglet-heap.pc)
endif()
add_library(aglet::aglet ALIAS aglet)
add_library(aglet::aglet_static ALIAS aglet_static)

install(TARGETS ${targets} EXPORT aglet-targets
        LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
        FILES_MATCHING PATTERN "*.h")
if(TARGET aglet_tool)
    install(TARGETS aglet_tool DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()

# gdb's script, for `source`: of stripped libraries, and where gdb may not load what lies in them.
install(FILES ${AGLET_GDB_SCRIPT} DESTINATION ${CMAKE_INSTALL_DATADIR}/aglet/gdb)

# The labs, where `aglet lab` looks for them, seen from its own folder; and their Go programs.
if(lab_programs)
    set_target_properties(${lab_programs} PROPERTIES
                          INSTALL_RPATH "\$ORIGIN/../../${CMAKE_INSTALL_LIBDIR}")
    install(TARGETS ${lab_programs} DESTINATION ${CMAKE_INSTALL_BINDIR}/../libexec/aglet)
    install(DIRECTORY ${PROJECT_SOURCE_DIR}/examples/lab/go
            DESTINATION ${CMAKE_INSTALL_BINDIR}/../share/aglet/lab)
endif()

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/aglet)
install(EXPORT aglet-targets NAMESPACE aglet:: DESTINATION ${package_dir})
configure_package_config_file(cmake/aglet-config.cmake.in aglet-config.cmake
                              INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(aglet-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/aglet-config.cmake
              ${PROJECT_BINARY_DIR}/aglet-config-version.cmake
        DESTINATION ${package_dir})

# pkg-config: the prefix is found from the place of the file, so that the tree may be moved; a
# folder may also be given absolute.
file(RELATIVE_PATH pc_up /prefix/${CMAKE_INSTALL_LIBDIR}/pkgconfig /prefix)
set(pc_prefix "\${pcfiledir}/${pc_up}")
if(IS_ABSOLUTE "${CMAKE_INSTALL_LIBDIR}")
    set(pc_prefix "${CMAKE_INSTALL_PREFIX}")
endif()
foreach(part IN ITEMS LIB INCLUDE)
    if(IS_ABSOLUTE "${CMAKE_INSTALL_${part}DIR}")
        set(pc_${part} "${CMAKE_INSTALL_${part}DIR}")
    else()
        set(pc_${part} "\${prefix}/${CMAKE_INSTALL_${part}DIR}")
    endif()
endforeach()
set(pc_http_tls "")
if(TARGET aglet_net)
    set(pc_http_tls ", aglet-net = ${PROJECT_VERSION}")
endif()
foreach(pc IN LISTS pc_files)
    configure_file(cmake/${pc}.in ${pc} @ONLY)
    install(FILES ${PROJECT_BINARY_DIR}/${pc} DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
endforeach()
