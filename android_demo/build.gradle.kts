// The plugins of all modules, on one class path: a Kotlin plugin that is loaded once per module cannot work
// beside Android's. Android's plugin is in Google's repository and is asked for only where :app takes part.
buildscript {
    val withApp = findProject(":app") != null
    repositories {
        mavenCentral()
        if (withApp) google()
    }
    dependencies {
        classpath(libs.plugin.kotlin)
        classpath(libs.plugin.serialization)
        classpath(libs.plugin.protobuf)
        if (withApp) classpath(libs.plugin.android)
    }
}
