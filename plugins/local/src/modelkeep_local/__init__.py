from modelkeep import keyvalue
