-- Run once, when the volume is made: the keys of what is sealed have a database of their own.
CREATE DATABASE vault;
