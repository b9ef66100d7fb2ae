# ollamafs_install_configured(INPUT DESTINATION NAME): installs INPUT as NAME, with the paths put in
# that it names by @CMAKE_INSTALL_FULL_BINDIR@ and the like. That is done when it is installed: not
# before is the prefix known for sure, `cmake --install BUILD --prefix DIR` may name another one.
function(ollamafs_install_configured input destination name)
  set(output ${CMAKE_CURRENT_BINARY_DIR}/installed/${destination}/${name})
  string(CONFIGURE [[
    set(CMAKE_INSTALL_BINDIR "@CMAKE_INSTALL_BINDIR@")
    set(CMAKE_INSTALL_SBINDIR "@CMAKE_INSTALL_SBINDIR@")
    set(CMAKE_INSTALL_DATADIR "@CMAKE_INSTALL_DATADIR@")
    foreach(kind BINDIR SBINDIR DATADIR)
      cmake_path(ABSOLUTE_PATH CMAKE_INSTALL_${kind} BASE_DIRECTORY "${CMAKE_INSTALL_PREFIX}"
        OUTPUT_VARIABLE CMAKE_INSTALL_FULL_${kind})
    endforeach()
    configure_file("@CMAKE_CURRENT_SOURCE_DIR@/@input@" "@output@" @ONLY)
  ]] code @ONLY)
  install(CODE "${code}")
  install(FILES ${output} DESTINATION ${destination})
endfunction()
