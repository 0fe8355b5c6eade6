#include "server/verbs/verb.h"

#include <stdio.h>

int verb_version(int argc, char **argv)
{
    puts("sluice " SLUICE_VERSION);
    return 0;
}
