/* The line that flood writes and count expects: a serial number and padding, 100 bytes in all. */
#include <string.h>
#define LINE 100
#define DIGITS 12

static void line_first(char *line)
{
    line[0] = 'L';
    memset(line + 1, '0', DIGITS);
    line[1 + DIGITS] = ' ';
    memset(line + 2 + DIGITS, '#', LINE - 3 - DIGITS);
    line[LINE - 1] = '\n';
}

static void line_next(char *line)
{
    char *digit = line + DIGITS;
    while (*digit == '9')
        *digit-- = '0';
    ++*digit;
}
