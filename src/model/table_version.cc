#include "model/table_version.h"

namespace ferry::model {

std::string to_string(const TableName& name) { return name.schema + '.' + name.table; }

}  // namespace ferry::model
