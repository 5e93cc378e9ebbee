# cmake -DINPUT=… -DOUTPUT=… -DNAME=… -P EmbedFile.cmake: a C++ array with the bytes of a file.
file(READ ${INPUT} bytes HEX)
string(REGEX REPLACE "(..)" "0x\\1," bytes "${bytes}")
string(REGEX REPLACE "(....................................................................................................)" "\\1\n" bytes "${bytes}")
file(WRITE ${OUTPUT} "extern const unsigned char ${NAME}[] = {\n${bytes}};\nextern const unsigned long ${NAME}Bytes = sizeof(${NAME});\n")
